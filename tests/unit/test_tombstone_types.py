"""Which types say that a record may be a tombstone, and what is read then."""

from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field, JsonValue, ValidationError
from typing_extensions import TypeAliasType

from streamapp.serialisation import codec_for
from streamapp.tombstones import takes_tombstones, value_type


class Started(BaseModel):
    kind: Literal["start"] = "start"


class Stopped(BaseModel):
    kind: Literal["stop"] = "stop"


BY_KIND = Field(discriminator="kind")
Perhaps = TypeAliasType("Perhaps", Started | None)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (Started | None, Started),
        (Optional[Started], Started),  # noqa: UP045 - the old spelling
        (Started | Stopped | None, Started | Stopped),
        (Annotated[Started | Stopped | None, BY_KIND], Annotated[Started | Stopped, BY_KIND]),
        (Perhaps, Started),
        (Perhaps | Stopped, Started | Stopped),
        (dict[str, int] | None, dict[str, int]),
        (Any | None, Any),
        (bytes | None, bytes),
    ],
    ids=str,
)
def test_none_at_the_top_of_a_type_stands_for_a_tombstone(type_: Any, values: Any) -> None:
    assert takes_tombstones(type_)
    assert value_type(type_) == values
    codec = codec_for(type_)
    assert (codec.tombstones, codec.schema) == (True, type_)
    nothing: Any = None
    assert codec.decode(nothing) is None


@pytest.mark.parametrize(
    "type_",
    [Started, Started | Stopped, list[int | None], dict[str, int | None], Any, object, JsonValue],
    ids=str,
)
def test_other_types_say_nothing_of_tombstones(type_: Any) -> None:
    assert not takes_tombstones(type_)
    assert value_type(type_) is type_
    assert not codec_for(type_).tombstones
    nothing: Any = None
    with pytest.raises((ValueError, TypeError)):
        codec_for(type_).decode(nothing)


@pytest.mark.parametrize("type_", [Started | None, int | None, dict | None, Any | None], ids=str)
@pytest.mark.parametrize("null", [b"null", b" null\n"])
def test_null_in_json_is_no_tombstone(type_: Any, null: bytes) -> None:
    with pytest.raises(ValueError, match=r"null is no value|Input should be"):
        codec_for(type_).decode(null)


def test_values_beside_tombstones_are_read_and_written_as_without() -> None:
    codec = codec_for(Annotated[Started | Stopped | None, BY_KIND])
    assert codec.decode(b'{"kind":"stop"}') == Stopped()
    assert codec.encode(Stopped()) == b'{"kind":"stop"}'
    positive = codec_for(Annotated[int | None, Field(gt=0)])
    assert positive.decode(b"5") == 5
    with pytest.raises(ValidationError, match="greater than 0"):
        positive.decode(b"-5")
    assert codec_for(bytes | None).decode(b"null") == b"null"
