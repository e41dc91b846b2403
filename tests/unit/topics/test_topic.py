from dataclasses import FrozenInstanceError, dataclass
from typing import Any, assert_type

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from streamapp.errors import ConfigurationError, TopicError
from streamapp.topics.topic import Topic


class Order(BaseModel):
    amount: int


@dataclass
class Point:
    x: int


class Row(TypedDict):
    x: int


class NotJson:
    pass


def test_a_topic_has_the_type_of_its_schema() -> None:
    topic = Topic("orders", Order)
    assert_type(topic, Topic[Order])
    assert topic.codec.decode(b'{"amount": 3}') == Order(amount=3)
    assert topic.codec.encode(Order(amount=3)) == b'{"amount":3}'


def test_a_schema_of_another_type_is_refused_by_checkers() -> None:
    # mypy reports the ignore as unused if it ever takes the schema.
    points: Topic[Point] = Topic("points", Order)  # type: ignore[arg-type]  # the point of the test
    assert points.schema is Order


def test_dataclasses_typed_dicts_and_plain_types_are_schemas() -> None:
    assert_type(Topic("points", Point), Topic[Point])
    assert_type(Topic("rows", Row), Topic[Row])
    assert_type(Topic("numbers", list[int]), Topic[list[int]])
    assert Topic("points", Point).codec.decode(b'{"x": 1}') == Point(1)
    assert Topic("rows", Row).codec.decode(b'{"x": 1}') == {"x": 1}
    assert Topic("numbers", list[int]).codec.decode(b"[1, 2]") == [1, 2]


def test_without_a_schema_any_json_is_taken() -> None:
    topic = Topic("anything")
    assert_type(topic, Topic[Any])
    assert topic.codec.decode(b'[1, {"a": null}]') == [1, {"a": None}]
    assert Topic("anything", Any) == topic


def test_bytes_stay_as_they_are() -> None:
    topic = Topic("raw", bytes)
    assert_type(topic, Topic[bytes])
    assert topic.codec.decode(b"\xff{") == b"\xff{"


def test_the_codec_is_built_once() -> None:
    topic = Topic("orders", Order)
    assert topic.codec is topic.codec


def test_topics_are_equal_by_name_and_schema() -> None:
    assert Topic("orders", Order) == Topic("orders", Order)
    assert len({Topic("orders", Order), Topic("orders", Order), Topic("orders")}) == 2


def test_a_topic_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Topic("orders").name = "other"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("name", ["a", "playback.raw", "A_b-9.c", "x" * 249, "...", "_"])
def test_names_that_kafka_takes(name: str) -> None:
    assert Topic(name).name == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "empty"),
        (".", "reserved"),
        ("..", "reserved"),
        ("x" * 250, "250 characters"),
        ("a b", "does not take"),
        ("a/b", "does not take"),
        ("a\n", "does not take"),
        ("é", "does not take"),
        (7, "int, not a string"),
    ],
)
def test_names_that_kafka_refuses(name: Any, says: str) -> None:
    with pytest.raises(TopicError, match=says) as caught:
        Topic(name)
    assert isinstance(caught.value, ConfigurationError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("schema", [None, 5, "Order", Order(amount=1), [int]])
def test_a_schema_that_is_no_type_is_refused(schema: Any) -> None:
    with pytest.raises(TopicError, match="not a type"):
        Topic("orders", schema)


def test_a_class_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(TopicError, match=r"topic 'orders' cannot be read from JSON: .*NotJson"):
        Topic("orders", NotJson)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/" * 58, f"'{'/' * 58}'"), ("/" * 59, f"'{'/' * 55}...'"), ("a b", "'a b'")],
)
def test_a_refused_name_is_shown_in_sixty_characters(name: str, shown: str) -> None:
    with pytest.raises(TopicError) as caught:
        Topic(name)
    assert str(caught.value).startswith(f"the topic name {shown} holds a character")


def test_a_topic_is_shown_by_name_and_schema() -> None:
    assert repr(Topic("orders", Order)) == f"Topic(name='orders', schema={Order!r})"
