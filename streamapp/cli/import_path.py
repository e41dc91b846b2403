"""Lets modules of the current directory be imported."""

import sys
from pathlib import Path


def put_current_directory_first() -> None:
    """Put the current directory first on the import path, as `python -m` does."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
