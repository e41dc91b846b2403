"""How the values that a segment reads are decoded, by the topic that they were read from."""

from collections.abc import Callable
from typing import Any

from streamapp.errors import DecodeError
from streamapp.pipeline.topology import Segment


class Decoders(dict[str, Callable[[bytes], Any]]):
    """How the values of each topic that a segment reads are decoded; topics may match later."""

    def __init__(self, segment: Segment | None = None) -> None:
        sources = () if segment is None else segment.sources
        super().__init__({one.topic: one.codec.decode for one in sources})
        self._quick = {one.topic: one.codec.quick for one in sources}
        self._patterns = () if segment is None else segment.patterns
        codecs = [*(one.codec for one in sources), *(one.codec for one in self._patterns)]
        same = bool(codecs) and all(one.schema == codecs[0].schema for one in codecs)
        self._of_all = codecs[0] if same else None

    def quick(self, topic: str) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any] | None]:
        """What reads most records of this topic, and what reads those that it refuses, if any."""
        decode = self[topic]
        found = self._quick[topic]
        return (decode, None) if found is None else (found.decode, found.otherwise)

    def knows(self, topic: str) -> bool:
        """Whether a topic of this name is a source."""
        return topic in self or any(one.matches(topic) for one in self._patterns)

    def of_former_source(self, topic: str) -> Callable[[bytes], Any]:
        """What reads a record that was read from this topic, which may be no source any more.

        Raises:
            DecodeError: it is none, and the sources are of several types: it may be of any.
        """
        if self.knows(topic):
            return self[topic]
        if self._of_all is None:
            raise DecodeError(f"it is from {topic!r}, which is no source of the stage any more")
        decode: Callable[[bytes], Any] = self._of_all.decode
        return decode

    def __missing__(self, topic: str) -> Callable[[bytes], Any]:
        for one in self._patterns:
            if one.matches(topic):
                self._quick[topic] = one.codec.quick
                self[topic] = one.codec.decode
                return one.codec.decode
        raise KeyError(topic)
