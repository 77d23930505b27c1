"""Inference engines: from crops to landmarks in pixels of the crop."""
