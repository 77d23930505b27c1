"""Fuzzing of everything that reads input with mutated files and unusual arguments (benchmarks/fuzz.py)."""
