"""Measurements on a GPU, in a quarter of an hour: `python -m benchmarks.gpu`."""
