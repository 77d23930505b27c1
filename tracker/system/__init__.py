"""Files, processes, other programs and libraries, as far as every package needs them in one way."""
