"""Finds what looks like a secret in the configuration of an agent; a file never holds one."""

import re
from collections.abc import Iterator

from pydantic import JsonValue

Path = tuple[str | int, ...]

_NAMES = frozenset(
    {
        "accesskey",
        "accesstoken",
        "apikey",
        "apitoken",
        "authorization",
        "authtoken",
        "bearertoken",
        "clientsecret",
        "cookie",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "privatekey",
        "proxyauthorization",
        "secret",
        "secretkey",
        "token",
        "xapikey",
    }
)
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/@\s]*:[^/@\s]*@")
_NOT_A_LETTER = re.compile(r"[^a-z]")


def secrets_in(value: JsonValue, path: Path = ()) -> Iterator[Path]:
    """The paths of strings whose name says that they are secret, or with a password in an address.

    Names with `_from_environment` have the name of a variable, and so have all within them.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            if name.endswith("_from_environment"):
                continue
            if isinstance(one, str) and one and _NOT_A_LETTER.sub("", name.lower()) in _NAMES:
                yield (*path, name)
            else:
                yield from secrets_in(one, (*path, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from secrets_in(one, (*path, number))
    elif isinstance(value, str) and _PASSWORD_IN_ADDRESS.search(value):
        yield path
