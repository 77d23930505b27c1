"""Calibration of a model on validation faces before its export."""
