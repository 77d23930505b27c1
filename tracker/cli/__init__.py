"""Command lines generated from functions, configuration files, checks of output files, and the summary of a run."""
