"""Secrets that stand in files of their own, as platforms mount them."""

from pathlib import Path


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
