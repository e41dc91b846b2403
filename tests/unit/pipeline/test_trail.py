"""The audit trail in its header: bounded, readable again, and never the fault of a record."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from streamapp.errors import DecodeError, EncodeError, Transient
from streamapp.pipeline.trail import (
    MAX_ENTRIES,
    MAX_HEADER_BYTES,
    ErrorType,
    StageEntry,
    Trail,
    error_entry,
    error_type,
    header_in,
    keep_header,
    trail_from,
    with_header,
)

NOW = datetime(2026, 11, 26, 12, 0, 0, 123_000, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=5,
)


def entry(stage_id: str = "s", attempts: int = 1) -> StageEntry:
    return StageEntry(stage_id, "agent", "0.1.0", NOW, 0.25, attempts, "processed")


def filled(stages: int = 0, errors: int = 0, **metadata: Any) -> Trail:
    trail = Trail(NOW, metadata)
    for n in range(stages):
        trail.add_stage(entry(f"stage-{n}"))
    for n in range(errors):
        trail.add_error(error_entry(ValueError(f"error {n}"), "s", NOW.timestamp()))
    return trail


def again(trail: Trail) -> Trail:
    """What is read of its header."""
    header = trail.to_header()
    assert header is not None
    assert len(header) <= MAX_HEADER_BYTES
    found = trail_from(header)
    assert found is not None
    return found


def test_a_trail_is_read_as_it_was_written() -> None:
    trail = filled(2, 1, tenant="ä", deep={"a": [1, None, 2**70, 0.5]})
    found = again(trail)
    assert (found.start, found.metadata) == (NOW, trail.metadata)
    assert (found.history, found.errors) == (trail.history, trail.errors)
    assert (found.history_cut, found.errors_cut) == (0, 0)


def test_the_origin_travels_unless_the_metadata_need_its_room() -> None:
    trail = filled(1, tenant="a")
    trail.origin = "playback.raw:3:17"
    assert again(trail).origin == trail.copy().origin == "playback.raw:3:17"
    full = filled(text="x" * 4030)
    full.origin = "playback.raw:3:17"
    assert (again(full).origin, len(again(full).metadata["text"])) == ("", 4030)


@given(st.dictionaries(st.text("abc", max_size=5), JSON, max_size=4))
def test_any_metadata_in_json_are_read_as_they_were_written(metadata: dict[str, Any]) -> None:
    trail = Trail(NOW, metadata)
    if metadata:
        assert again(trail).metadata == metadata
    else:
        assert trail.to_header() is None


def test_nothing_to_say_is_no_header() -> None:
    assert Trail(NOW).to_header() is None


def test_of_a_long_history_the_oldest_entries_are_cut_and_counted() -> None:
    found = again(filled(stages=200, errors=3, tenant="a"))
    kept = [one.stage_id for one in found.history]
    assert 10 < len(kept) < 200
    assert kept == [f"stage-{n}" for n in range(200 - len(kept), 200)]
    assert found.history_cut == 200 - len(kept)
    assert (len(found.errors), found.errors_cut, found.metadata) == (3, 0, {"tenant": "a"})
    found.add_stage(entry("last"))
    assert again(found).history_cut >= found.history_cut


def test_errors_are_cut_once_no_history_is_left() -> None:
    found = again(filled(stages=5, errors=200))
    assert (list(found.history), found.history_cut) == ([], 5)
    assert [one.error for one in found.errors][-1] == "ValueError: error 199"
    assert len(found.errors) + found.errors_cut == 200


def test_metadata_are_never_cut_but_refused() -> None:
    with pytest.raises(
        EncodeError, match=r"the metadata of the context take 5\d\d\d bytes as JSON"
    ):
        filled(text="x" * 5000).to_header()
    found = again(filled(stages=30, text="x" * 3900))
    assert len(found.metadata["text"]) == 3900
    assert found.history_cut + len(found.history) == 30


@pytest.mark.parametrize("value", [object(), float("nan"), [float("inf")]])
def test_metadata_that_are_no_json_are_refused(value: object) -> None:
    with pytest.raises(EncodeError, match="the metadata of the context are no JSON"):
        filled(value=value).to_header()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"v":2,"start":1}',
        b'{"v":1}',
        b'{"v":1,"start":"soon"}',
        b'{"v":1,"start":1e400}',
        b'{"v":1,"start":1,"metadata":[1]}',
        b'{"v":1,"start":1,"metadata":{"a":NaN}}',
        b'{"v":1,"start":1,"metadata":{"a":1e400}}',
        b'{"v":1,"start":1,"metadata":{"a":[{"b":-1e400}]}}',
        b'{"v":1,"start":1,"history":[["s","a","v",1,1e400,1,"processed"]]}',
        b'{"v":1,"start":1,"history":[["s","a","v",1,"nan",1,"processed"]]}',
        b'{"v":1,"start":1,"history":[["s"]]}',
        b'{"v":1,"start":1,"errors":[["e","s",1,"unheard_of"]]}',
        b'{"v":1,"start":99999999999999999999}',
        b'{"v":1,"start":1,"cut":[1]}',
        b'{"v":1,"start":1,"metadata":{"a":"' + b"x" * MAX_HEADER_BYTES + b'"}}',
        b"\xff",
    ],
)
def test_a_header_that_cannot_be_read_is_none(header: bytes) -> None:
    assert trail_from(header) is None


@given(st.binary(max_size=100))
def test_no_bytes_raise(header: bytes) -> None:
    trail_from(header)


def test_metadata_of_another_program_that_take_more_bytes_here_stay_as_they_came() -> None:
    numbers = ",".join(["1e10"] * 800)
    header = f'{{"v":1,"start":1,"metadata":{{"a":[{numbers}]}}}}'.encode()
    assert len(header) <= MAX_HEADER_BYTES
    found = trail_from(header)
    assert found is not None
    found.add_stage(entry())
    assert found.to_header() == header
    found.metadata["more"] = 1
    with pytest.raises(EncodeError):
        found.to_header()


def test_entries_in_memory_are_bounded_and_counted() -> None:
    trail = filled(MAX_ENTRIES + 3, MAX_ENTRIES + 2)
    assert (len(trail.history), trail.history_cut) == (MAX_ENTRIES, 3)
    assert (len(trail.errors), trail.errors_cut) == (MAX_ENTRIES, 2)


def test_what_is_added_to_a_copy_is_not_in_the_original() -> None:
    trail = filled(1, 1, deep={"a": [1]})
    copied = trail.copy()
    copied.metadata["deep"]["a"].append(2)
    copied.add_stage(entry())
    copied.add_error(error_entry(ValueError(), "s", 0))
    assert (trail.metadata, len(trail.history), len(trail.errors)) == ({"deep": {"a": [1]}}, 1, 1)


class Model(BaseModel):
    n: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as raised:
        Model.model_validate({"n": "secret"})
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DecodeError("no"), ErrorType.DATA_DECODING),
        (invalid(), ErrorType.DATA_VALIDATION),
        (EncodeError("no"), ErrorType.DATA_OUTPUT),
        (TimeoutError(), ErrorType.TIMEOUT),
        (OSError(), ErrorType.DEPENDENCY),
        (Transient(), ErrorType.DEPENDENCY),
        (ValueError(), ErrorType.DATA_PROCESSING),
    ],
)
def test_the_type_of_an_error(error: Exception, kind: ErrorType) -> None:
    assert error_type(error) is kind


def test_an_entry_for_an_error_has_no_payload_and_is_short() -> None:
    assert "secret" not in error_entry(invalid(), "s", 0).error
    assert len(error_entry(ValueError("x" * 900), "s", 0).error) == 200
    told = error_entry(ValueError("why"), "s", 1.5)
    assert (told.error, told.timestamp) == ("ValueError: why", datetime.fromtimestamp(1.5, tz=UTC))


def test_a_header_takes_the_place_of_an_earlier_one() -> None:
    before = [("a", b"1"), ("streamapp.context", b"old"), ("b", b"2")]
    assert with_header(before, b"new") == [("a", b"1"), ("b", b"2"), ("streamapp.context", b"new")]
    assert with_header(before, None) is before
    assert (header_in(before), header_in([("a", b"1")])) == (b"old", None)
    assert keep_header([("own", b"3")], before) == [("own", b"3"), ("streamapp.context", b"old")]
    assert keep_header([("own", b"3")], ()) == [("own", b"3")]
