"""Error measures on labelled pictures and stability measures on videos."""
