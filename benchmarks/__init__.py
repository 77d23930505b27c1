"""Reproducible measurements; README.md says how to run them."""

from train.extras import name_what_is_missing

name_what_is_missing(__name__, "dev")
