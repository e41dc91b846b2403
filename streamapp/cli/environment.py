"""Refuses environment variables that look like settings and are none."""

import difflib
import re
from collections.abc import Iterable, Iterator

from streamapp.cli.variables import (
    AFTER_VARIABLE,
    CONFIG_VARIABLE,
    EXPORTER_PORT_VARIABLE,
    HOST_VARIABLE,
    HOSTS_VARIABLE,
    INSTANCE_VARIABLE,
    OPEN_VARIABLE,
    PORT_VARIABLE,
    STALL_VARIABLE,
    START_VARIABLE,
    TOKEN_VARIABLE,
    TRACES_VARIABLE,
)
from streamapp.configuration.names import PACKAGES_VARIABLE
from streamapp.configuration.overrides import variables
from streamapp.configuration.state_folder import STATE_VARIABLE
from streamapp.errors import ConfigurationError
from streamapp.local_kafka.jars import CACHE_VARIABLE
from streamapp.native_leaves import SWITCH
from streamapp.secret_files import FILE_SUFFIX
from streamapp.settings import KafkaSettings

_PREFIX = "STREAMAPP_"
_KAFKA_PREFIX = str(KafkaSettings.model_config["env_prefix"])
_NEAR = 0.6
_RESERVED = f"names with {_PREFIX} are settings only, so unset it or give it another name"
# Kubernetes gives every container these for a service named `streamapp-kafka` or the like:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")

_KNOWN = (
    *(f"{_KAFKA_PREFIX}{name.upper()}" for name in KafkaSettings.model_fields),
    PORT_VARIABLE,
    EXPORTER_PORT_VARIABLE,
    HOST_VARIABLE,
    HOSTS_VARIABLE,
    OPEN_VARIABLE,
    TOKEN_VARIABLE,
    f"{TOKEN_VARIABLE}{FILE_SUFFIX}",
    INSTANCE_VARIABLE,
    STALL_VARIABLE,
    START_VARIABLE,
    CACHE_VARIABLE,
    CONFIG_VARIABLE,
    PACKAGES_VARIABLE,
    STATE_VARIABLE,
    AFTER_VARIABLE,
    TRACES_VARIABLE,
    SWITCH,
    *(variable for variable, _, _ in variables()),
)


def refuse_unknown_settings(names: Iterable[str]) -> None:
    """Refuse variables that begin as settings do and are none: whoever set them meant something.

    Args:
        names: names of environment variables; those of other programs are ignored.

    Raises:
        ConfigurationError: one line for each unknown variable, with the setting of the nearest
            name.
    """
    if unknown := list(unknown_settings(names)):
        raise ConfigurationError("\n".join(unknown))


def unknown_settings(names: Iterable[str]) -> Iterator[str]:
    """One sentence for each variable that begins as settings do and is none."""
    tails = {_tail(known): known for known in _KNOWN}
    for name in sorted(names):
        upper = name.upper()  # settings are read in any case
        if not upper.startswith(_PREFIX) or upper in _KNOWN or _OF_KUBERNETES.fullmatch(upper):
            continue
        near = difflib.get_close_matches(_tail(upper), tails, n=1, cutoff=_NEAR)
        meant = f"did you mean {tails[near[0]]}?" if near else _RESERVED
        yield f"the variable {name} is not a setting; {meant}"


def _tail(name: str) -> str:
    """A name without its common prefix; with the prefix, all names would be close."""
    return name.removeprefix(_PREFIX).removeprefix("KAFKA_").removeprefix("SASL_")
