"""For whom a request says that it is: its `Host` header, by which a server knows foreign pages.

A page of somebody else can have its own name point at 127.0.0.1 once it is loaded (DNS rebinding).
The browser then takes a server of this machine for the page's own, and lets it read the answers.
The name in `Host` is still that of the page.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

WRONG_HOST = 421
"""Misdirected Request, https://www.rfc-editor.org/rfc/rfc9110#section-15.5.20"""


def named(host: str) -> str | None:
    """The name or address in a `Host` header, without its port; `None` if there is none."""
    try:
        return (urlsplit(f"//{host.strip()}").hostname or "").removesuffix(".") or None
    except ValueError:
        return None


def names_this_machine(host: str, others: Iterable[str] = ()) -> bool:
    """Whether a `Host` header has a name that only this machine has.

    Args:
        host: the header; empty without one, which no browser leaves out.
        others: further names that are allowed, such as that of a proxy before the server.
    """
    if not host:
        return True
    name = named(host)
    if name is None:
        return False
    if name == "localhost" or name in {named(one) for one in others}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
