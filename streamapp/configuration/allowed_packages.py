"""The packages from which agents are imported: said from outside, never by the file itself.

Whoever writes the file chooses among code that whoever starts the program trusts.
"""

from collections.abc import Iterable, Mapping

from streamapp.configuration.names import PACKAGES_OPTION, PACKAGES_VARIABLE
from streamapp.registry.imports import Importer

ALWAYS_ALLOWED = "streamapp.agents"
"""Package of the built-in agents, from which every file may import."""

NOT_IN_A_FILE = (
    "a file cannot allow imports to itself; take it out, and allow each package from outside, with"
    f" {PACKAGES_OPTION} or {PACKAGES_VARIABLE}"
)
"""What is said of a file that has a list of packages."""


def allowed_packages(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The packages that the environment allows, beside that of the built-in agents."""
    names = (one.strip() for one in environment.get(PACKAGES_VARIABLE, "").split(","))
    return tuple(dict.fromkeys(one for one in names if one))


def also_allowing(environment: Mapping[str, str], packages: Iterable[str]) -> Mapping[str, str]:
    """The environment, as if it allowed these packages too."""
    names = ",".join((*allowed_packages(environment), *packages))
    return {**environment, PACKAGES_VARIABLE: names}


def importer_of(packages: Iterable[str]) -> Importer:
    """What imports agents from these packages, and from that of the built-in ones.

    Raises:
        ImportRefusedError: a name is no name of a package, or the package around it is not allowed.
    """
    return Importer([ALWAYS_ALLOWED, *packages], how_to_allow=_how_to_allow)


def _how_to_allow(package: str) -> str:
    return f"start with {PACKAGES_OPTION} {package}, or set {PACKAGES_VARIABLE}={package}"
