"""The version of this package, read once: the metadata is a file."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("streamapp")
