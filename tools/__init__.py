"""Commands that make the constants of the runtime, one module for each; docs/provenance.md lists what they made."""

from train.extras import name_what_is_missing

name_what_is_missing(__name__, "dev")
