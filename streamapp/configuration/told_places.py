"""Tells where in a file stands what cannot be made."""

from collections.abc import Iterator
from contextlib import contextmanager

from streamapp.configuration.file import ConfigurationFile, tell_faults
from streamapp.configuration.placed import PlacedError, shown
from streamapp.errors import ConfigurationError


@contextmanager
def telling_places(file: ConfigurationFile) -> Iterator[None]:
    """Let faults of what a file declares name their places in it, and tell all of them.

    Args:
        file: the file that what is made here stands in.

    Raises:
        ConfigurationError: in place of a `PlacedError`: one line for each fault, with line and
            column.
    """
    try:
        yield
    except PlacedError as error:
        faults = [
            (one.path, f"{shown(one.path)}: {line}")
            for one in (error, *error.others)
            for line in str(one).splitlines()
        ]
        told = "\n".join(tell_faults(file.path, file.document, faults))
        raise ConfigurationError(told) from error
