"""Files, processes, external programs and libraries: helpers that all packages share."""
