"""Joins and commits on the wire, as bytes of the protocol."""

import struct

from tests.torture.history import moved_back
from tests.torture.wiretap import Tap, Wiretap


def text(word: str) -> bytes:
    return struct.pack(">h", len(word)) + word.encode()


def framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def commit_request(correlation: int, generation: int, offset: int) -> bytes:
    header = struct.pack(">hhi", 8, 3, correlation) + text("client")
    member = text("group") + struct.pack(">i", generation) + text("member") + struct.pack(">q", -1)
    places = struct.pack(">i", 1) + text("topic") + struct.pack(">iiq", 1, 4, offset) + text("")
    return framed(header + member + places)


def commit_answer(correlation: int, error: int) -> bytes:
    places = struct.pack(">i", 1) + text("topic") + struct.pack(">iih", 1, 4, error)
    return framed(struct.pack(">ii", correlation, 0) + places)


def join(tap: Tap, correlation: int, generation: int, instance: str | None = None) -> None:
    header = struct.pack(">hhi", 11, 5, correlation) + text("client")
    member = text("group") + struct.pack(">ii", 10_000, 30_000) + text("member")
    named = struct.pack(">h", -1) if instance is None else text(instance)
    tap.request(framed(header + member + named))
    tap.response(framed(struct.pack(">iihi", correlation, 0, 0, generation)))


def test_a_commit_is_heard_with_its_answer() -> None:
    wiretap = Wiretap()
    tap = wiretap.connection(1234)
    tap.request(commit_request(7, 3, 42))
    tap.response(commit_answer(7, 0))
    (commit,) = wiretap.commits
    assert (commit.port, commit.group, commit.generation) == (1234, "group", 3)
    assert commit.offsets == {("topic", 4): 42}
    assert commit.accepted is True


def test_frames_are_put_together_from_any_pieces() -> None:
    wiretap = Wiretap()
    tap = wiretap.connection(1)
    for byte in commit_request(7, 3, 42) + commit_request(8, 3, 43):
        tap.request(bytes([byte]))
    assert [one.offsets["topic", 4] for one in wiretap.commits] == [42, 43]


def test_an_accepted_commit_of_an_older_generation_is_stale() -> None:
    wiretap = Wiretap()
    old, new = wiretap.connection(1), wiretap.connection(2)
    join(old, 1, 3)
    join(new, 1, 4)
    for correlation, error in ((7, 0), (8, 22)):
        old.request(commit_request(correlation, 3, 42))
        old.response(commit_answer(correlation, error))
    assert [one.stale for one in wiretap.commits] == [True, False]
    assert wiretap.joins["group"] == {3, 4}


def test_a_commit_of_the_newest_generation_is_not_stale() -> None:
    wiretap = Wiretap()
    tap = wiretap.connection(1)
    join(tap, 1, 3)
    tap.request(commit_request(7, 3, 42))
    tap.response(commit_answer(7, 0))
    assert not wiretap.commits[0].stale


def test_static_members_are_known_by_their_names() -> None:
    wiretap = Wiretap()
    join(wiretap.connection(1), 1, 3)
    assert wiretap.instances == {}
    join(wiretap.connection(2), 1, 3, instance="worker-1")
    assert wiretap.instances == {"group": {"worker-1"}}


def test_every_commit_below_an_earlier_one_has_moved_back() -> None:
    assert moved_back({0: [1, 5, 5, 9], 1: [7, 3, 4, 8]}) == 2
