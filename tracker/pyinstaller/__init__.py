"""Hooks for PyInstaller, which finds them through the package's entry point."""

from pathlib import Path


def hook_folders() -> list[str]:
    """Return the folders with hooks; see "Providing PyInstaller Hooks with your Package" in PyInstaller's manual."""
    return [str(Path(__file__).parent)]
