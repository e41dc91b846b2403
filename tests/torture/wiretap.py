"""Reads joins and commits of group members from their connections.

It is written after the protocol (https://kafka.apache.org/protocol), without code of any client:
JoinGroup from version 2 and OffsetCommit of versions 2 and 3, which aiokafka 0.14 uses.
"""

import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

_OFFSET_COMMIT = 8
_JOIN_GROUP = 11
_HEADER_BYTES = 8
_INSTANCES_SINCE = 5
"""Version of JoinGroup that has group instance ids."""


@dataclass(slots=True)
class Commit:
    """An OffsetCommit request that was seen.

    Attributes:
        at: when it was forwarded, in monotonic seconds.
        port: port of the member's side of the connection.
        group: name of the group.
        generation: generation in the request.
        newest: newest generation of the group that any member had been told by then.
        offsets: offsets by topic and partition.
        accepted: whether the broker accepted it; `None` while it has not answered.
    """

    at: float
    port: int
    group: str
    generation: int
    newest: int
    offsets: Mapping[tuple[str, int], int]
    accepted: bool | None = None

    @property
    def stale(self) -> bool:
        """Whether a commit of an older generation was accepted."""
        return self.accepted is True and self.generation < self.newest


@dataclass(slots=True)
class Wiretap:
    """All joins and commits that were seen on all connections.

    Attributes:
        commits: commits in their order.
        generations: newest generation that a member was told, by group.
        joins: generations that members were told, by group.
        instances: ids of static members that asked to join, by group.
    """

    commits: list[Commit] = field(default_factory=list)
    generations: dict[str, int] = field(default_factory=dict)
    joins: dict[str, set[int]] = field(default_factory=dict)
    instances: dict[str, set[str]] = field(default_factory=dict)

    def connection(self, port: int) -> "Tap":
        """Read one more connection."""
        return Tap(self, port)

    def joined(self, group: str, generation: int) -> None:
        """A member was told its generation."""
        self.generations[group] = max(generation, self.generations.get(group, -1))
        self.joins.setdefault(group, set()).add(generation)


class Tap:
    """Reads one connection.

    Args:
        wiretap: told what is seen.
        port: port of the client's side.
    """

    def __init__(self, wiretap: Wiretap, port: int) -> None:
        self._wiretap = wiretap
        self._port = port
        self._requests, self._responses = _Frames(), _Frames()
        self._waiting: dict[int, Callable[[bytes], None]] = {}

    def request(self, chunk: bytes) -> None:
        """Read bytes from the client."""
        for frame in self._requests.feed(chunk):
            api, version, correlation = struct.unpack_from(">hhi", frame)
            reader = _Reader(frame, _HEADER_BYTES)
            if api == _OFFSET_COMMIT:
                reader.text()  # the client's id
                commit = self._commit(reader)
                self._wiretap.commits.append(commit)
                self._waiting[correlation] = _answer_to(commit, version)
            elif api == _JOIN_GROUP:
                reader.text()
                group = reader.text()
                if version >= _INSTANCES_SINCE:
                    for _timeout in range(2):
                        reader.number("i")
                    reader.text()  # the member
                    if instance := reader.text():
                        self._wiretap.instances.setdefault(group, set()).add(instance)
                self._waiting[correlation] = partial(self._joined, group)

    def response(self, chunk: bytes) -> None:
        """Read bytes from the broker."""
        for frame in self._responses.feed(chunk):
            (correlation,) = struct.unpack_from(">i", frame)
            answered = self._waiting.pop(correlation, None)
            if answered is not None:
                answered(frame[4:])

    def _commit(self, reader: "_Reader") -> Commit:
        group, generation = reader.text(), reader.number("i")
        reader.text()  # the member
        reader.number("q")  # how long to keep it
        offsets = {}
        for _ in range(reader.number("i")):
            topic = reader.text()
            for _ in range(reader.number("i")):
                partition, offset = reader.number("i"), reader.number("q")
                reader.text()  # metadata
                offsets[topic, partition] = offset
        newest = self._wiretap.generations.get(group, -1)
        return Commit(time.monotonic(), self._port, group, generation, newest, offsets)

    def _joined(self, group: str, body: bytes) -> None:
        _throttled, error, generation = struct.unpack_from(">ihi", body)
        if not error:
            self._wiretap.joined(group, generation)


def _answer_to(commit: Commit, version: int) -> Callable[[bytes], None]:
    def answer(body: bytes) -> None:
        reader = _Reader(body, 4 if version >= 3 else 0)
        errors = []
        for _ in range(reader.number("i")):
            reader.text()
            for _ in range(reader.number("i")):
                reader.number("i")
                errors.append(reader.number("h"))
        commit.accepted = not any(errors)

    return answer


class _Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The frames that this chunk completes."""
        self._held += chunk
        while len(self._held) >= 4:
            end = 4 + struct.unpack_from(">i", self._held)[0]
            if len(self._held) < end:
                return
            frame = bytes(self._held[4:end])
            del self._held[:end]
            yield frame


class _Reader:
    """Reads the fields of a frame one after the other."""

    def __init__(self, frame: bytes, at: int) -> None:
        self._frame = frame
        self._at = at

    def number(self, kind: str) -> int:
        """Read the next integer; the kind is a format of `struct`."""
        (value,) = struct.unpack_from(">" + kind, self._frame, self._at)
        self._at += struct.calcsize(">" + kind)
        return int(value)

    def text(self) -> str:
        """Read the next string; empty for null."""
        size = self.number("h")
        begin = self._at
        self._at += max(size, 0)
        return self._frame[begin : self._at].decode()
