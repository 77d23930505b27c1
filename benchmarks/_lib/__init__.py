"""Helpers of the benchmarks; none is a command of its own."""
