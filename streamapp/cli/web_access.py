"""Who may ask the web server of a command, by its options and the environment."""

import os
from collections.abc import Iterator

from streamapp.cli.run_options import RunOptions
from streamapp.cli.variables import HOSTS_VARIABLE, TOKEN_VARIABLE
from streamapp.errors import ConfigurationError
from streamapp.secret_files import secret_in
from streamapp.web.access import Access, checked_host


def web_token() -> str | None:
    """The token of the environment, or of the file that it names; `None` without one.

    Raises:
        ConfigurationError: both are set, or the file has no token.
    """
    try:
        return secret_in(os.environ, TOKEN_VARIABLE) or None
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def access_of(host: str, *, opens_probes: bool) -> Access:
    """Who may ask a server at this address.

    Raises:
        ConfigurationError: it could be reached from elsewhere by everybody, or the token is no
            good.
    """
    access = Access(web_token(), opens_probes=opens_probes, hosts=tuple(_hosts()))
    checked_host(host, access)
    return access


def _hosts() -> Iterator[str]:
    names = os.environ.get(HOSTS_VARIABLE, "").split(",")
    return (name.strip() for name in names if name.strip())


def web_access(options: RunOptions) -> Access | None:
    """Who may ask the server of a run; `None` if there is none.

    Raises:
        ConfigurationError: it could be reached from elsewhere by everybody, or the token is no
            good.
    """
    if options.web_port is None:
        return None
    return access_of(options.web_host, opens_probes=options.web_open)
