"""A declared topic: the fields of `topics/*.yaml`."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from streamapp.brokers.protocols import TopicSpec
from streamapp.topics.topic import topic_name_problem

DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's `message.max.bytes` default."""

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_OWN_FIELD_OF = {
    "retention.ms": "retention",
    "cleanup.policy": "cleanup_policy",
    "max.message.bytes": "max_message_bytes",
}


def _legal_name(name: str) -> str:
    if problem := topic_name_problem(name):
        raise ValueError(f"the name {problem}")
    return name


def _retention_ms(value: object) -> int:
    """Milliseconds of `90s`, `30m`, `12h` or `7d`; for `forever` it is -1, as in Kafka."""
    if value == "forever":
        return -1
    found = re.fullmatch(r"([1-9]\d*)([smhd])", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("give a whole number and s, m, h or d, such as 7d, or the word forever")
    return int(found[1]) * _UNIT_MS[found[2]]


def _config_values(value: object) -> object:
    """YAML's numbers and booleans as Kafka writes them."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: str(given).lower() if isinstance(given, bool | int | float) else given
        for name, given in value.items()
    }


def _free_config(config: dict[str, str]) -> dict[str, str]:
    for name in config:
        if own := _OWN_FIELD_OF.get(name):
            raise ValueError(f"{name} has a field of its own: use {own}")
    return config


class DeclaredTopic(BaseModel):
    """One topic of the catalogue.

    Attributes:
        name: name of the topic.
        description: what its records are, for people.
        partitions: number of partitions.
        replication_factor: copies of each partition; `None` for the broker's default, which is
            `default.replication.factor` of Kafka.
        retention: how long records are kept, written as `90s`, `30m`, `12h`, `7d` or `forever`;
            stored in milliseconds, -1 for `forever`.
        cleanup_policy: whether old records are deleted, compacted by key, or both.
        max_message_bytes: largest record batch in bytes.
        keyed: whether all records of a key must be in one partition. Added partitions would break
            that, so `topics apply` requires `--yes`.
        value_schema: file with the JSON schema of the value, beside this one; in YAML `schema`.
        config: other topic configuration by Kafka's names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, AfterValidator(_legal_name)]
    description: str = ""
    partitions: int = Field(ge=1)
    replication_factor: Annotated[int, Field(ge=1)] | None = None
    retention: Annotated[int, BeforeValidator(_retention_ms)] = 7 * _UNIT_MS["d"]
    cleanup_policy: Literal["delete", "compact", "compact,delete"] = "delete"
    max_message_bytes: int = Field(default=DEFAULT_MAX_MESSAGE_BYTES, ge=1)
    keyed: bool = True
    value_schema: str | None = Field(default=None, alias="schema", min_length=1)
    config: Annotated[
        dict[str, str], BeforeValidator(_config_values), AfterValidator(_free_config)
    ] = Field(default_factory=dict)

    def spec(self) -> TopicSpec:
        """The topic as a broker creates it; also compared with what the broker has."""
        return TopicSpec(
            self.name,
            partitions=self.partitions,
            replication_factor=self.replication_factor,
            config={
                **self.config,
                "cleanup.policy": self.cleanup_policy,
                "max.message.bytes": str(self.max_message_bytes),
                "retention.ms": str(self.retention),
            },
        )
