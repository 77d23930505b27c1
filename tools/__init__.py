"""Commands that make the constants of the runtime, one module each; docs/provenance.md lists their results."""

from train.extras import name_what_is_missing

name_what_is_missing(__name__, "dev")
