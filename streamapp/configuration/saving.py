"""Saves the configuration file: wholly or not at all."""

import json
import os
from collections.abc import Mapping
from typing import Any

from streamapp.atomic_file import locked_folder, replace_file
from streamapp.configuration.file import (
    ConfigurationFile,
    checked_file,
    digest_of,
    read_bytes,
)
from streamapp.errors import ConfigurationError


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
    saved = checked_file(file.path, content, {}).right()
    try:
        with locked_folder(path.parent) as folder:
            if digest_of(read_bytes(path, may_be_missing=True)) != file.digest:
                raise ConfigurationError(
                    f"{file.path}: somebody has changed the file since it was read; nothing was"
                    " saved: try again"
                )
            replace_file(path, content)
            os.fsync(folder)  # the new name is on the disk only when the folder is
    except OSError as error:
        raise ConfigurationError(
            f"{file.path}: the file cannot be saved: {error.strerror}"
        ) from error
    return saved
