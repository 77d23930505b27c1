"""Inference engines: crops in, landmarks in pixels of the crop out."""
