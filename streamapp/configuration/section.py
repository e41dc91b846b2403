"""What all parts of the configuration file have in common."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from streamapp.topics.topic import topic_name_problem


class Section(BaseModel):
    """Exactly its fields, of exactly their types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def tag_of(value: object, fields: Iterable[str]) -> str | None:
    """The tag of a member of a union: the first of these fields that a value has."""
    known: object = value
    if isinstance(value, Section):
        known = type(value).model_fields
    if not isinstance(known, Mapping):
        return None
    return next((f"({one})" for one in fields if one in known), None)


def _legal_name(name: str) -> str:
    if problem := topic_name_problem(name):
        raise ValueError(f"the name {problem}")
    return name


TopicName = Annotated[str, AfterValidator(_legal_name)]
"""The name of a topic, legal for Kafka."""
