"""The way of a record as plain values, for `streamapp trace --output json`."""

import base64
from collections.abc import Mapping
from typing import Any

from streamapp.cli.way_text import letter_sentence, return_sentence, visit_sentence
from streamapp.record_way.found import Address, Found
from streamapp.record_way.links import Link
from streamapp.record_way.progress import Progress
from streamapp.record_way.way import LetterStop, Output, Return, Stop, Visit, Way

VERSION = 1


def way_json(
    way: Way, now: float, why: Mapping[tuple[str, str], list[str]], *, show_payload: bool
) -> dict[str, Any]:
    """All that was found, as plain values; bytes are base64, and only there if they are asked for.

    Args:
        way: the way.
        now: seconds since the epoch.
        why: what is wrong with stages, by pipeline and stage.
        show_payload: have keys, values and contents of headers.
    """
    made = _Values(now, why, show_payload=show_payload)
    return {
        "version": VERSION,
        "asked": made.record(way.asked),
        "origins": [[made.link(one) for one in links] for links in way.origins],
        "start": made.stop(way.start),
        "complete": not way.unread and not way.broken,
        "unread": way.unread,
        "broken": way.broken,
    }


class _Values:
    def __init__(
        self, now: float, why: Mapping[tuple[str, str], list[str]], *, show_payload: bool
    ) -> None:
        self._now = now
        self._why = why
        self._show_payload = show_payload
        self._told: set[Address] = set()

    def record(self, found: Found) -> dict[str, Any]:
        """A record."""
        data: dict[str, Any] = {
            "topic": found.place.topic,
            "partition": found.place.partition,
            "offset": found.record.offset,
            "timestamp": found.record.timestamp,
            "event_time": found.event_ms,
            "deleted": found.is_gone,
        }
        if self._show_payload:
            data["key"] = _base64(found.record.key)
            data["value"] = _base64(found.record.value)
            data["headers"] = [[name, _base64(one)] for name, one in found.record.headers]
        else:
            data["headers"] = [name for name, _ in found.record.headers]
        return data

    def link(self, link: Link) -> dict[str, Any]:
        """A record that belongs to another."""
        return {"certainty": link.certainty.value, "by": link.by, **self.record(link.found)}

    def stop(self, stop: Stop) -> dict[str, Any]:
        """A record, and what each stage did with it; told once, if several ways lead to it."""
        is_told = stop.found.address in self._told
        self._told.add(stop.found.address)
        visits = None if is_told else [self._visit(one) for one in stop.visits]
        return {**self.record(stop.found), "visits": visits}

    def _visit(self, visit: Visit) -> dict[str, Any]:
        return {
            "pipeline": visit.pipeline,
            "stages": list(visit.stages),
            "told": visit_sentence(visit),
            **_progress(visit.progress),
            "outputs": [self._output(one) for one in visit.outputs],
            "others": visit.others,
            "returns": [self._return(one) for one in visit.returns],
            "dead_letters": [self._letter(one) for one in visit.letters],
            "why": [
                line for one in visit.stages for line in self._why.get((visit.pipeline, one), ())
            ],
            "trimmed": visit.trimmed,
            "missing": visit.missing,
            "unread": visit.unread,
        }

    def _output(self, output: Output) -> dict[str, Any]:
        link = output.link
        about = {"stage": output.stage, "certainty": link.certainty.value, "by": link.by}
        return about | self.stop(output.stop)

    def _return(self, one: Return) -> dict[str, Any]:
        return {
            "stage": one.neighbour.stage,
            "kind": one.neighbour.role.value,
            "due": one.due_at,
            "replay": one.found.letter.told.sent_back.replay,
            "told": return_sentence(one, self._now),
            **_progress(one.progress),
            **self.record(one.found),
        }

    def _letter(self, one: LetterStop) -> dict[str, Any]:
        told, entry = one.stop.found.letter.told, one.entry
        return {
            "stage": one.stage,
            "reason": told.reason,
            "error": told.error,
            "fingerprint": told.fingerprint,
            "attempts": told.attempts,
            "replays": told.sent_back.times,
            "state": entry.state.value,
            "done": None if not entry.at_ms else {"at": entry.at_ms, "why": entry.why},
            "told": letter_sentence(one),
            **self.stop(one.stop),
        }


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "group": progress.group,
        "standing": progress.standing.value,
        "ahead": progress.is_ahead,
        "committed": progress.committed,
        "unfinished_before": progress.unfinished_before,
        "end": progress.end,
        "members": progress.members,
        "own_commit": progress.is_own_commit,
    }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
