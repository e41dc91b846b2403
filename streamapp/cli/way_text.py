"""Says the way of a record in lines, for `streamapp trace`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from streamapp.letters.ledger import LetterState
from streamapp.observability.readable import age, amount, counted
from streamapp.record_way.found import Address, Found
from streamapp.record_way.links import Certainty, Link
from streamapp.record_way.neighbours import Role
from streamapp.record_way.progress import Progress, Standing
from streamapp.record_way.way import LetterStop, Output, Return, Stop, Visit, Way

MOST_SHOWN = 20
"""So many outputs of one stage are shown."""

_STEP = "  "


def way_lines(
    way: Way, now: float, why: Mapping[tuple[str, str], list[str]], *, show_payload: bool
) -> Iterator[str]:
    """All that was found, in lines.

    Args:
        way: the way.
        now: seconds since the epoch.
        why: what is wrong with each stage of which a service tells, by pipeline and stage.
        show_payload: show keys and values.
    """
    shown = _Lines(way, now, why, show_payload=show_payload)
    yield from shown.origins()
    yield from shown.stop(way.start, "")
    yield from shown.bounds()


def visit_sentence(visit: Visit) -> str:
    """What a stage did with a record."""
    told = _standing(visit.progress)
    return f"{told}; {_nothing(visit)}" if _has_ended_without_output(visit) else told


def return_sentence(one: Return, now: float) -> str:
    """What becomes of a record that comes back to its stage."""
    is_done = one.progress.standing is Standing.FINISHED
    if one.due_at is None:
        how = "the stage has finished it" if is_done else "the stage has not finished it"
        return f"sent back as {one.found.address}: {how}"
    if is_done:
        return f"waited to be retried as {one.found.address}: the stage has finished it"
    left = one.due_at - now
    due = f"due in {age(left)}" if left > 0 else f"due for {age(-left)}"
    return f"waits to be retried as {one.found.address}: {due}, {time_text(one.due_at * 1000)}"


def letter_sentence(one: LetterStop) -> str:
    """What is known of a dead letter."""
    told = one.stop.found.letter.told
    what = " ".join(filter(None, (told.reason, told.error, f"after {told.attempts} attempts")))
    done = ""
    if one.entry.state is LetterState.OPEN:
        done = "; nothing was done with it"
    else:
        why = f", {one.entry.why}" if one.entry.why else ""
        done = f"; {one.entry.state} at {time_text(one.entry.at_ms)}{why}"
    return f"gave it up as {one.stop.found.address}: {what}{done}"


def time_text(milliseconds: float) -> str:
    """A time in UTC, such as `2026-11-28 10:00:00.250`; `-` if it is none."""
    try:
        found = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):  # not written by us
        return "-"
    return f"{found:%Y-%m-%d %H:%M:%S}.{found.microsecond // 1000:03}" if milliseconds >= 0 else "-"


class _Lines:
    """Makes the lines of one way."""

    def __init__(
        self, way: Way, now: float, why: Mapping[tuple[str, str], list[str]], *, show_payload: bool
    ) -> None:
        self._way = way
        self._now = now
        self._why = why
        self._show_payload = show_payload
        self._shown: set[Address] = set()
        self._told_together: set[frozenset[Address]] = set()

    def origins(self) -> Iterator[str]:
        """Of what the record was made."""
        for links in self._way.origins:
            if len(links) == 1:
                yield f"made of {_link(links[0])}"
                continue
            yield f"made of one of {amount(len(links))} records that are alike:"
            yield from (f"{_STEP}{_link(one)}" for one in links[:MOST_SHOWN])
            if len(links) > MOST_SHOWN:
                yield f"{_STEP}and {amount(len(links) - MOST_SHOWN)} more"

    def stop(self, stop: Stop, indent: str) -> Iterator[str]:
        """A record, and what each stage did with it."""
        yield indent + self._record(stop.found)
        if stop.found.address in self._shown:
            if stop.visits:
                yield f"{indent}{_STEP}its way is told above"
            return
        self._shown.add(stop.found.address)
        for visit in stop.visits:
            yield from self._visit(visit, indent + _STEP)

    def bounds(self) -> Iterator[str]:
        """What was not looked at."""
        if self._way.unread:
            left = ", ".join(f"{amount(n)} of {topic}" for topic, n in self._way.unread.items())
            yield (
                f"The bounds of the search were reached: {left} were not looked at; raise"
                " --max-records or --max-seconds."
            )
        if self._way.broken:
            places = ", ".join(self._way.broken)
            yield f"Not read to the end, since a record cannot be parsed: {places}"

    def _record(self, found: Found) -> str:
        marks = [time_text(found.event_ms)]
        marks += ["it was deleted"] if found.is_gone else []
        marks += ["asked for"] if found.address == self._way.asked.address else []
        line = f"{found.address}  {', '.join(marks)}"
        if not self._show_payload:
            return line
        return f"{line}  {_text(found.record.key)} = {_text(found.record.value)}"

    def _visit(self, visit: Visit, indent: str) -> Iterator[str]:
        name = f"{visit.pipeline}.{' + '.join(visit.stages)}"
        yield f"{indent}{name}: {visit_sentence(visit)}"
        inner = indent + _STEP
        yield from self._returns(visit, Role.RETRY, inner)
        for letter in visit.letters:
            yield inner + letter_sentence(letter)
            if letter.stop.visits:
                yield from self.stop(letter.stop, inner + _STEP)
        yield from self._returns(visit, Role.REPLAY, inner)
        for outputs in _groups(visit.outputs):
            yield from self._outputs(outputs, inner)
        if visit.missing:
            yield f"{inner}these topics do not exist: {', '.join(visit.missing)}"
        if visit.progress.standing is not Standing.FINISHED:
            yield from self._reasons(visit, inner)

    def _outputs(self, outputs: Sequence[Output], indent: str) -> Iterator[str]:
        """Outputs of one topic that are equally certain; those that are alike are told once."""
        link, topic = outputs[0].link, outputs[0].link.found.place.topic
        if len(outputs) == 1:
            what = "wrote"
        elif link.certainty is Certainty.CERTAIN:
            what = f"wrote {amount(len(outputs))}"
        else:
            what = f"wrote some of {amount(len(outputs))} that are alike"
        line = f"{indent}{what}, {link.certainty} {link.by}"
        addresses = frozenset(one.link.found.address for one in outputs)
        if len(outputs) > 1 and addresses in self._told_together:
            yield f"{line}: those of {topic} above"
            return
        self._told_together.add(addresses)
        yield f"{line}:"
        for output in outputs[:MOST_SHOWN]:
            yield from self.stop(output.stop, indent + _STEP)
        if len(outputs) > MOST_SHOWN:
            yield f"{indent}{_STEP}and {amount(len(outputs) - MOST_SHOWN)} more"

    def _returns(self, visit: Visit, role: Role, indent: str) -> Iterator[str]:
        for one in visit.returns:
            if one.neighbour.role is role:
                yield indent + return_sentence(one, self._now)

    def _reasons(self, visit: Visit, indent: str) -> Iterator[str]:
        """Why it waits, as the services of this machine say."""
        told = [self._why.get((visit.pipeline, stage)) for stage in visit.stages]
        if visit.progress.members and told.count(None) == len(told):
            yield f"{indent}why is not known: no service on this machine answers; give --web-url"
        yield from (indent + line for lines in told for line in lines or ())


def _groups(outputs: Sequence[Output]) -> list[list[Output]]:
    """Outputs that go to one topic and are equally certain, together."""
    found: dict[tuple[str, str, str, str], list[Output]] = {}
    for one in outputs:
        link = one.link
        kind = (one.stage, link.found.place.topic, link.certainty.value, link.by)
        found.setdefault(kind, []).append(one)
    return list(found.values())


def _link(link: Link) -> str:
    gone = ", which was deleted" if link.found.is_gone else ""
    return f"{link.found.address}{gone}: {link.certainty}, {link.by}"


def _standing(progress: Progress) -> str:
    members = counted(progress.members, "worker") if progress.members else "no worker"
    if progress.committed is None:
        return f"has committed nothing in this partition; {members} in its group"
    at = f"committed {amount(progress.committed)} of {amount(progress.end)}"
    if not progress.is_own_commit:
        at += ", by another program"
    if progress.standing is Standing.FINISHED:
        ahead = ", ahead of others" if progress.is_ahead else ""
        return f"has finished it{ahead} ({at})"
    before = f"{counted(progress.unfinished_before or 0, 'record')} before it"
    if not progress.unfinished_before:
        before = "it is the first that is not finished"
    return f"has not finished it: {before}, {members} in its group ({at})"


def _has_ended_without_output(visit: Visit) -> bool:
    """Whether the stage is done with a record, after replays too, and nothing of it was found."""
    standings = {visit.progress.standing, *(one.progress.standing for one in visit.returns)}
    return standings == {Standing.FINISHED} and not visit.outputs and not visit.is_given_up


def _nothing(visit: Visit) -> str:
    """Why nothing was found of a record that is finished."""
    if not visit.has_outputs:
        return "it writes no outputs"
    is_certain = not (visit.others or visit.trimmed or visit.unread)
    what = "it wrote nothing" if is_certain else "nothing that it wrote was found"
    what += ": it was filtered, or its policy dropped it"
    if visit.others:
        what += (
            f"; or its output is among {counted(visit.others, 'record')} of the same millisecond"
            " with another key"
        )
    if visit.trimmed:
        what += f"; or it was deleted since: {', '.join(visit.trimmed)}"
    return f"{what}; or it is in what was not looked at" if visit.unread else what


def _text(content: bytes | None) -> str:
    return "-" if content is None else content.decode(errors="replace")
