"""What a GPU is to prove, in a quarter of an hour: `python -m benchmarks.gpu`."""
