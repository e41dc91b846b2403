"""Files that are replaced wholly or not at all, and folders in which one at a time does so."""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK_SECONDS = 0.02
"""Time between two looks whether a folder is not locked any more."""


@contextmanager
def locked_folder(folder: Path, wait_seconds: float | None = None) -> Iterator[int]:
    """Keep others from saving in a folder; without a file of its own, which would stay behind.

    Gives its descriptor, to `os.fsync`: a new name is on the disk only when the folder is.

    Args:
        folder: the folder.
        wait_seconds: longest wait for another process that saves in it; `None`: as long as it
            takes.

    Raises:
        TimeoutError: another process did not end with it in that time.
        OSError: there is no such folder, or it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor, folder, wait_seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, wait_seconds: float | None) -> None:
    if wait_seconds is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError(f"another process keeps {folder} locked") from None
            time.sleep(LOOK_SECONDS)
        else:
            return


def replace_file(path: Path, content: bytes, new_mode: int = 0o644) -> None:
    """Put a content in the place of what a file has; readers see the old one or the new one.

    Args:
        path: the file, in a folder that exists.
        content: all of its new content.
        new_mode: who may read and write it, if it is new; else that stays as it is.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else new_mode
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
