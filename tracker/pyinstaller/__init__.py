"""For applications frozen by PyInstaller, which finds this through the package's entry point."""

from pathlib import Path


def hook_folders() -> list[str]:
    """The folders with hooks of PyInstaller, see its manual, "Providing PyInstaller Hooks with your Package"."""
    return [str(Path(__file__).parent)]
