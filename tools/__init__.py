"""Commands that make the constants of the runtime, one module for each; docs/provenance.md lists what they made."""
