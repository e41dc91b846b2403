"""Reads the configuration file, and tells each fault with its line and column."""

import gc
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from streamapp.configuration.allowed_packages import also_allowing
from streamapp.configuration.check import Checked, Fault, check
from streamapp.configuration.configuration import Configuration
from streamapp.configuration.located_json import (
    MOST_BYTES,
    JsonFaultError,
    LocatedJson,
    parse_json,
)
from streamapp.configuration.names import FILE_NAME
from streamapp.configuration.printable import printable
from streamapp.errors import ConfigurationError

_NO_DOCUMENT = LocatedJson({}, "{}")


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """A configuration, and the file that it was read from.

    Attributes:
        path: where the file is, or would be.
        configuration: what it says, with defaults and what the environment overrides.
        document: what stands in the file, with keys that are kept and not interpreted.
        digest: of the bytes of the file; `None` if there is none.
    """

    path: Path
    configuration: Configuration
    document: LocatedJson
    digest: str | None


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What was found in a file that may have faults.

    Attributes:
        path: where the file is, or would be.
        document: what stands in it.
        digest: of its bytes; `None` if there is none.
        checked: what is right, and what is wrong.
    """

    path: Path
    document: LocatedJson
    digest: str | None
    checked: Checked

    def right(self) -> ConfigurationFile:
        """The file, which has no faults.

        Raises:
            ConfigurationError: it has some: one line for each, with line and column.
        """
        found = self.checked
        if found.faults or found.of_environment or found.right is None:
            told = tell_faults(self.path, self.document, found.faults)
            raise ConfigurationError("\n".join([*told, *map(printable, found.of_environment)]))
        return ConfigurationFile(self.path, found.right, self.document, self.digest)


def read_configuration(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    packages: Iterable[str] = (),
) -> ConfigurationFile:
    """Read a configuration; without a file, all has its default.

    Args:
        path: the file, which then has to exist; by default `atomic_data_config.json` here, if it
            exists.
        environment: variables that override settings; by default those of this process.
        packages: names of packages that may be imported, beside those that the environment allows.

    Raises:
        ConfigurationError: the file cannot be read, or is wrong: one line for each fault, with line
            and column; of very many, some. A variable of the environment is wrong.
    """
    return read_with_faults(path, environment, packages=packages).right()


def read_with_faults(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    packages: Iterable[str] = (),
    may_be_new: bool = False,
) -> CheckedFile:
    """Read a configuration that may have faults; other arguments as of `read_configuration`.

    Args:
        path: the file.
        environment: variables that override settings.
        packages: names of packages that may be imported.
        may_be_new: whether a file that is given may be missing, to be saved; its folder may not.

    Raises:
        ConfigurationError: the file cannot be read, or is no JSON.
    """
    place = Path(FILE_NAME) if path is None else path
    content = read_bytes(place, may_be_missing=may_be_new or path is None)
    if content is None and not place.parent.is_dir():
        raise ConfigurationError(
            f"there is no folder {place.parent} for {place}: create it, or correct the name"
        )
    variables = os.environ if environment is None else environment
    return checked_file(place, content, also_allowing(variables, packages))


def checked_file(path: Path, content: bytes | None, environment: Mapping[str, str]) -> CheckedFile:
    """What was found in a content.

    Raises:
        ConfigurationError: it is no JSON.
    """
    with _collector_paused():
        document = _NO_DOCUMENT if content is None else parsed(path, content)
        checked = check(document.data, environment)
    if checked.right is not None:
        checked = replace(checked, right=checked.right.within(path.parent))
    return CheckedFile(path, document, digest_of(content), checked)


def tell_faults(path: Path, document: LocatedJson, faults: Iterable[Fault]) -> Iterator[str]:
    """One line for each fault, with its place, in the order of the file."""
    for where, sentence in sorted(faults, key=lambda fault: document.index_of(fault[0])):
        line, column = document.place_of(where)
        yield f"{path}:{line}:{column}: {printable(sentence)}"


def read_bytes(path: Path, *, may_be_missing: bool = False) -> bytes | None:
    """The content of a regular file, of which no more is read than is taken.

    Raises:
        ConfigurationError: it cannot be read, or is no regular file.
    """
    try:
        # A named pipe would keep an ordinary open waiting for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if may_be_missing and not path.is_symlink():
            return None
        raise ConfigurationError(
            f"there is no file {path}: create it, or correct its name"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: the file cannot be read: {_why(error)}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigurationError(f"{path} is no regular file: give the name of a JSON file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: the file cannot be read: {_why(error)}") from error
    finally:
        os.close(descriptor)


def digest_of(content: bytes | None) -> str | None:
    """What tells one content from another; `None` for no file."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def parsed(path: Path, content: bytes) -> LocatedJson:
    """The document of a content.

    Raises:
        ConfigurationError: it is none that is taken; with line and column of the fault.
    """
    try:
        return parse_json(content)
    except JsonFaultError as error:
        raise ConfigurationError(f"{path}:{error.line}:{error.column}: {error}") from None


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Let Python's collector rest: a file makes many objects, and none that it could free."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
