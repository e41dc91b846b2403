"""Saves the configuration file: wholly or not at all."""

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamapp.configuration.file import (
    ConfigurationFile,
    checked_file,
    digest_of,
    read_bytes,
)
from streamapp.errors import ConfigurationError

_MODE = 0o644


def save_configuration(file: ConfigurationFile, data: Mapping[str, Any]) -> ConfigurationFile:
    """Save other data in the place of those that were read.

    Give `file.document.data` with what changes: keys that nothing interprets are then kept, and so
    is the order. The old file stays as it is until the new one is wholly on the disk.

    Args:
        file: what was read, from the file that is replaced or created.
        data: the whole content, as plain values.

    Returns:
        What now stands there, without what the environment overrides.

    Raises:
        ConfigurationError: the data are no configuration, somebody has changed the file since it
            was read, or it cannot be written. The file is as it was.
    """
    path = file.path.resolve()  # a link goes on being one
    content = (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    saved = checked_file(file.path, content, {})
    try:
        with _locked(path.parent) as folder:
            if digest_of(read_bytes(path, may_be_missing=True)) != file.digest:
                raise ConfigurationError(
                    f"{file.path}: somebody has changed the file since it was read; nothing was"
                    " saved: try again"
                )
            _replace(path, content)
            os.fsync(folder)  # the new name is on the disk only when the folder is
    except OSError as error:
        raise ConfigurationError(
            f"{file.path}: the file cannot be saved: {error.strerror}"
        ) from error
    return saved


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Keep others from saving in a folder; without a file of its own, which would stay behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _MODE
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
