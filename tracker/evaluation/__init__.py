"""Evaluation of a model and of the tracker on labelled pictures and videos."""
