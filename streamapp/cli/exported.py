"""Writes the files of the dashboards."""

from collections.abc import Iterator
from pathlib import Path

from streamapp.errors import ConfigurationError
from streamapp.observability.dashboards.catalogue import files


def export_dashboards(folder: Path) -> Iterator[Path]:
    """Write every file, and give the path of each.

    Raises:
        ConfigurationError: the folder cannot be made, or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files():
            path = folder / name
            path.write_text(text)
            yield path
    except OSError as error:
        raise ConfigurationError(
            f"dashboards cannot be written to {folder}: {error.strerror}; give a folder with"
            " --folder"
        ) from error
