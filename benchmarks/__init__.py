"""Measurements that anybody can repeat; README.md says how."""

from train.extras import name_what_is_missing

name_what_is_missing(__name__, "dev")
