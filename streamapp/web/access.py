"""Who may ask a web server: everybody on this machine, or whoever has the token."""

import hmac
import ipaddress
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field, replace

from streamapp.errors import ConfigurationError

PROBES = ("/livez", "/readyz", "/healthz", "/metrics")
"""What `opens_probes` opens: they say how the stages do in figures, and nothing more."""

LEAST_CHARACTERS = 16
"""Of a token: shorter ones can be guessed."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Access:
    """What a server asks of whoever asks it.

    Attributes:
        token: what has to be sent with each request, as a bearer token or as the password of HTTP
            Basic, which browsers ask their user for; `None` asks for none.
        opens_probes: whether probes and scrapes need no token.
        hosts: names by which a server on this machine alone may be asked, beside those of the
            machine; that of a proxy before it.

    Raises:
        ConfigurationError: the token is too short, or has other characters than ASCII that is seen.
    """

    token: str | None = field(default=None, repr=False)
    opens_probes: bool = False
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is None:
            return
        seen = self.token.isascii() and self.token.isprintable() and " " not in self.token
        if len(self.token) < LEAST_CHARACTERS or not seen:
            raise ConfigurationError(
                f"STREAMAPP_WEB_TOKEN needs at least {LEAST_CHARACTERS} characters of ASCII without"
                " blanks and line breaks; `openssl rand -hex 32` makes one"
            )

    def allows(self, path: str, authorization: str) -> bool:
        """Whether a request is answered.

        Args:
            path: what it is for.
            authorization: its header of this name; empty without one.
        """
        if self.opens_probes and path in PROBES:
            return True
        if self.token is None:
            return not self.opens_probes
        given = _given(authorization)
        return given is not None and hmac.compare_digest(
            given.encode(errors="surrogateescape"), self.token.encode()
        )


def checked_host(host: str, access: Access) -> str:
    """The address to listen on.

    Raises:
        ConfigurationError: it is no address, or can be reached from elsewhere although nothing is
            asked of whoever does.
    """
    address = LOOPBACK if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise ConfigurationError(
            f"--web-host {host!r} is not an IP address: use {LOOPBACK}, or 0.0.0.0 for all"
            " addresses of this machine"
        ) from None
    if not is_loopback and access.token is None and not access.opens_probes:
        raise ConfigurationError(
            f"--web-host {host} can be reached from elsewhere: set STREAMAPP_WEB_TOKEN, or give"
            " --web-open to answer probes and scrapes only"
        )
    return address


def narrowed(host: str, access: Access) -> Access:
    """What a server at this address asks for: on this machine alone, `--web-open` takes nothing."""
    if not is_this_machine(host) or access.token is not None:
        return access
    return replace(access, opens_probes=False)


def is_this_machine(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    return ipaddress.ip_address(host).is_loopback


def near_address(host: str) -> str:
    """The address under which this machine reaches a server that listens on `host`."""
    address = ipaddress.ip_address(host)
    if not address.is_unspecified:
        return host
    return LOOPBACK if address.version == 4 else "::1"  # noqa: PLR2004 - of IP


def _given(authorization: str) -> str | None:
    """The token that a request has sent."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return None
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except (Base64Error, UnicodeDecodeError, ValueError):
        return None
