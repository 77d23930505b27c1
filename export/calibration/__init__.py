"""What is fitted on validation faces before a model is exported."""
