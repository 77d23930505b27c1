"""Losses: each compares what a net answers with a target of train.targets."""
