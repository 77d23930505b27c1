"""Stages of benchmarks.gpu and what they share."""
