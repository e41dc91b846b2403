"""What all lookups have in common: a key, a place for what is found, and what a miss means."""

from copy import deepcopy
from enum import StrEnum
from typing import Any, Self

from pydantic import JsonValue, model_validator
from pydantic_core import from_json

from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.keys import KeyPath
from streamapp.agents.paths import OnePathText
from streamapp.agents.targets import TargetText, put, target
from streamapp.errors import Permanent


class IfMissing(StrEnum):
    """What becomes of an object whose key is missing, or unknown."""

    FAIL = "fail"  # it is the record's fault
    DEFAULT = "default"  # it gets the default
    PASS_ON = "pass_on"  # noqa: S105 - no password: it goes on as it is


class LookupConfiguration(AgentConfiguration):
    """What every lookup has in its configuration.

    Attributes:
        key: path to the key: a text, or an integer, which is looked up by its digits.
        into: place in the output for what is found; what is there is replaced.
        if_missing: what becomes of an object whose key is missing, null or unknown.
        default: what such an object gets, with `default`.
    """

    key: OnePathText
    into: TargetText
    if_missing: IfMissing = IfMissing.FAIL
    default: JsonValue = None

    @model_validator(mode="after")
    def _check_default(self) -> Self:
        if ("default" in self.model_fields_set) != (self.if_missing is IfMissing.DEFAULT):
            raise ValueError(
                "give a 'default' together with 'if_missing': 'default', and only then"
            )
        return self


class Lookup:
    """Takes the key of an object, and puts what was found into it."""

    def __init__(self, configuration: LookupConfiguration) -> None:
        self._key = KeyPath(configuration.key)
        self._key_text = configuration.key
        self._into = target(configuration.into)
        self._if_missing = configuration.if_missing
        self._default = configuration.default

    def key(self, value: dict[str, Any]) -> str | None:
        """The key of an object; `None` if it has none.

        Raises:
            Permanent: it is no key.
        """
        return self._key.text(value)

    def joined(self, value: dict[str, Any], found: bytes | None) -> dict[str, Any]:
        """The object with what was found for its key.

        Args:
            value: the object, which stays as it is.
            found: what was found, as JSON; `None` if there is nothing.

        Raises:
            ValueError: what was found is no JSON.
            Permanent: there is nothing and that is a fault, or it cannot be put in its place.
        """
        if found is not None:
            what = from_json(found, allow_inf_nan=False)
        elif self._if_missing is IfMissing.PASS_ON:
            return value
        elif self._if_missing is IfMissing.DEFAULT:
            what = deepcopy(self._default)
        else:
            raise Permanent(f"{self._key_text}: nothing is known of this key")
        output = {**value}
        put(output, self._into, what)
        return output
