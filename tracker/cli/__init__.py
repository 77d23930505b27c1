"""Command lines made from functions, files of options, refused outputs, and what a run reports in the end."""
