"""The pictures that the papers draw, from checkpoints and labelled faces."""
