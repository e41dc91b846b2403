"""Which dead letters are meant."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamapp.letters.letter import Letter


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant: those that fit all that is given; without anything, all.

    Attributes:
        pipelines, stages, reasons, fingerprints: one of each, if any are given; of a fingerprint
            the beginning is enough.
        since_ms, until_ms: failed last at or after the one, and before the other, in milliseconds
            since the epoch.
        keys: one of these keys.
        headers: of each name one with this content, or with any if that is `None`.
        address: topic, partition and offset of a single letter.
    """

    pipelines: Sequence[str] = ()
    stages: Sequence[str] = ()
    reasons: Sequence[str] = ()
    fingerprints: Sequence[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    keys: Sequence[bytes] = ()
    headers: Sequence[tuple[str, bytes | None]] = ()
    address: str | None = None

    def matches(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        told = letter.told
        return (
            _is_one(told.pipeline, self.pipelines)
            and _is_one(told.stage, self.stages)
            and _is_one(told.reason, self.reasons)
            and (not self.fingerprints or told.fingerprint.startswith(tuple(self.fingerprints)))
            and (self.since_ms is None or letter.failed_ms >= self.since_ms)
            and (self.until_ms is None or letter.failed_ms < self.until_ms)
            and (not self.keys or letter.key in self.keys)
            and (self.address is None or letter.address == self.address)
            and all(_has(letter, name, content) for name, content in self.headers)
        )


def _is_one(found: str, asked: Sequence[str]) -> bool:
    return not asked or found in asked


def _has(letter: Letter, name: str, content: bytes | None) -> bool:
    return any(n == name and content in (None, c) for n, c in letter.headers)
