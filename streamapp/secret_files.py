"""Secrets that stand in files of their own, as platforms mount them."""

from collections.abc import Mapping
from pathlib import Path

FILE_SUFFIX = "_FILE"
"""A variable with this ending names the file with the secret that the one without it would have."""


def read_secret(path: Path) -> str:
    """The text of a file with one secret, without the line break that editors leave at its end.

    Raises:
        ValueError: the file cannot be read, is not text, or is empty; the text is never shown.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"names a file that is not text in UTF-8: {path}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"names an empty file: {path}")
    return secret


def secret_in(environment: Mapping[str, str], variable: str) -> str | None:
    """The secret in a variable, or in the file that `<variable>_FILE` names; `None` without either.

    Raises:
        ValueError: both are set, or the file has no secret; begins with the variable.
    """
    value, file = environment.get(variable), environment.get(f"{variable}{FILE_SUFFIX}")
    if not file:
        return value
    if value:
        raise ValueError(f"{variable} and {variable}{FILE_SUFFIX} are both set")
    try:
        return read_secret(Path(file))
    except ValueError as error:
        raise ValueError(f"{variable}{FILE_SUFFIX} {error}") from None


def is_set(environment: Mapping[str, str], variable: str) -> bool:
    """Whether a secret is said to be in this variable, or in a file."""
    return bool(environment.get(variable) or environment.get(f"{variable}{FILE_SUFFIX}"))
