"""Topics of a declared pipeline: what it reads and writes, and how they are made."""

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from streamapp.configuration.section import Section, TopicName, tag_of
from streamapp.errors import TopicError
from streamapp.registry.definition import SchemaReference
from streamapp.topics.declaration import DeclaredTopic
from streamapp.topics.topic_pattern import MAX_TOPICS, TopicPattern


class TopicEnd(Section):
    """A topic at an end of a pipeline, with the schema of its values.

    Attributes:
        topic: its name.
        schema: name or JSON schema of its values, which the first agent has to take, or which the
            outputs of the last one have to fit; none: what that agent says.
    """

    topic: TopicName
    value_schema: SchemaReference | None = Field(default=None, alias="schema")

    @property
    def shown(self) -> str:
        """It, for a table."""
        return self.topic


class PatternEnd(Section):
    """Topics whose names match a regular expression.

    Attributes:
        pattern: the regular expression, in Python's syntax.
        max_topics: most topics that may match.
        schema: name or JSON schema of their values; none: what the first agent says.
    """

    pattern: str = Field(min_length=1)
    max_topics: int = Field(default=MAX_TOPICS, ge=1)
    value_schema: SchemaReference | None = Field(default=None, alias="schema")

    @model_validator(mode="after")
    def _is_a_pattern(self) -> Self:
        try:
            self.as_pattern()
        except TopicError as error:
            raise ValueError(str(error)) from error
        return self

    def as_pattern(self) -> TopicPattern[Any]:
        """The topics, without a type."""
        return TopicPattern(self.pattern, max_topics=self.max_topics)

    @property
    def shown(self) -> str:
        """It, for a table."""
        return self.pattern


def _kind_of_end(value: Any) -> str | None:
    if isinstance(value, str):
        return "(name)"
    return "(several)" if isinstance(value, list) else tag_of(value, ("topic", "pattern"))


_SOURCE = "give the name of a topic, or an object with a topic or a pattern"

Source = Annotated[
    Annotated[TopicName, Tag("(name)")]
    | Annotated[TopicEnd, Tag("(topic)")]
    | Annotated[PatternEnd, Tag("(pattern)")],
    Discriminator(_kind_of_end, custom_error_type="source", custom_error_message=_SOURCE),
]
"""A topic that a pipeline reads, or a pattern of such."""

Sources = Annotated[
    Annotated[TopicName, Tag("(name)")]
    | Annotated[TopicEnd, Tag("(topic)")]
    | Annotated[PatternEnd, Tag("(pattern)")]
    | Annotated[list[Source], Tag("(several)"), Field(min_length=1, max_length=100)],
    Discriminator(
        _kind_of_end, custom_error_type="sources", custom_error_message=f"{_SOURCE}, or a list"
    ),
]
"""One topic or pattern that a pipeline reads, or a list of them."""

Sink = Annotated[
    Annotated[TopicName, Tag("(name)")] | Annotated[TopicEnd, Tag("(topic)")],
    Discriminator(
        _kind_of_end,
        custom_error_type="sink",
        custom_error_message="give the name of a topic, or an object with a topic",
    ),
]
"""The topic that a pipeline writes."""


def check_settings(topics: list[DeclaredTopic]) -> list[DeclaredTopic]:
    """Require the settings of each topic to stand there once.

    Raises:
        ValueError: a topic is there twice, or names a file with a schema.
    """
    names = [one.name for one in topics]
    for number, one in enumerate(topics):
        if one.name in names[:number]:
            raise ValueError(f"the topic {one.name!r} is declared twice; remove one")
        if one.value_schema is not None:
            raise ValueError(
                f"the topic {one.name!r} has a schema; leave it out, since the agents say what its"
                " values are"
            )
    return topics
