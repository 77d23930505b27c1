"""Mutated files and odd arguments against everything that reads (benchmarks/fuzz.py)."""
