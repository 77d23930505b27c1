"""The nets."""
