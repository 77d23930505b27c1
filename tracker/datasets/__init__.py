"""Readers of labelled data sets. They never import torch."""
