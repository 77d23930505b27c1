"""Demonstrations: scripts that use only the public interface."""
