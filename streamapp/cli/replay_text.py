"""What `streamapp dlq replay` tells people: before letters are sent, and what became of them."""

from collections.abc import Iterator, Sequence

from streamapp.cli.failure_text import failure_text
from streamapp.dead_letter_tools.fates import Fate
from streamapp.dead_letter_tools.outcome import Outcome
from streamapp.dead_letter_tools.preview import Preview, StagePreview
from streamapp.dead_letter_tools.sending import Sent
from streamapp.errors import UnreadableRecordError
from streamapp.letters.groups import Group

MOST_REASONS = 10
"""So many kinds of failures of a stage are told."""

_NOT_SENT = (
    (Fate.STILL_FAILS, "stay, as the code does not take them; --even-failing sends them too"),
    (Fate.REPLAYED, "were replayed before; --again REPLAY sends those of a replay once more"),
    (Fate.SENT_BEFORE, "stand in their replay topic, though their ledger has no entry; they stay"),
    (Fate.DISCARDED, "were discarded before"),
    (Fate.QUARANTINED, "are in quarantine: raise --max-replays to send them again"),
    (Fate.QUARANTINE, "were sent back too often (--max-replays) and go into quarantine"),
    (
        Fate.READ_OTHERWISE,
        "are of stages whose topics Faust reads, and no replay topic: export them to the source",
    ),
    (Fate.NO_STAGE, "are of no stage of these pipelines"),
)


def preview_lines(preview: Preview, *, tried: bool, show_payload: bool) -> Iterator[str]:
    """What sending would do, for people.

    Args:
        preview: what was found.
        tried: whether agents were called.
        show_payload: whether messages of errors, which may quote a record, are told.
    """
    yield f"Would send {preview.fates[Fate.SEND]:,} dead letters."
    passed = "pass its agent now" if tried else "can be read now; its agent was not called (--try)"
    for target, stage in preview.stages.items():
        yield f"  {target.name}: {stage.looked_at:,} letters, of which {stage.passed:,} {passed}"
        yield from _refused_lines(stage, show_payload=show_payload)
    for fate, told in _NOT_SENT:
        if count := preview.fates[fate]:
            yield f"  {count:,} {told}"
    if preview.fates[Fate.SENT_BEFORE]:
        yield "    Was the ledger deleted? --again REPLAY sends those of a replay once more."
    for (pipeline, name), count in preview.stages_unknown.items():
        of = ".".join(filter(None, (pipeline, name))) or "nobody that says so"
        yield f"    {count:,} of {of}; --to-stage says where they go"
    yield from unreadable_lines(preview.unreadable)


def unreadable_lines(errors: Sequence[UnreadableRecordError]) -> Iterator[str]:
    """Which records cannot be read, for people."""
    if errors:
        yield (
            f"  {len(errors):,} cannot be read, and stay until retention deletes them; the first:"
            f" {errors[0]}"
        )


def sent_lines(sent: Sent, replay: str) -> Iterator[str]:
    """What was sent, and what was not, for people."""
    for target, count in sent.sent.items():
        yield f"Sent {count:,} to {target.topic}, replay {replay}."
    if quarantined := sent.fates[Fate.QUARANTINE]:
        yield f"Put {quarantined:,} into quarantine."
    for unsendable in sent.unsendable.told():
        yield f"Not sent: {unsendable}."


def outcome_lines(outcome: Outcome, sent: Sent, *, show_payload: bool) -> Iterator[str]:
    """What has become of letters that were sent, for people."""
    failed = sum(group.count for group in outcome.failed)
    total = sent.sent.total()
    if outcome.left:
        yield (
            f"{outcome.left:,} are not finished: do workers run these stages? They begin to read a"
            " new replay topic within half a minute."
        )
    else:
        yield f"The stages have finished all {total:,}: {failed:,} have failed again."
    for group in outcome.failed:
        yield _group_line(group, show_payload=show_payload)
    if outcome.by_old_runs:
        yield (
            f"  {outcome.by_old_runs:,} were given up by workers that gave such letters up before,"
            " and were not restarted since: they run the code of that time. Restart them."
        )
    elif outcome.as_before:
        yield (
            f"  {outcome.as_before:,} failed as before: do all workers run the mended code? Restart"
            " those that do not; `streamapp dlq replay --try` asks the code that is here."
        )
    if any(target.step.retry_topics for target in sent.sent):
        yield "  What is retried later is not counted among these before it has failed for good."


def _refused_lines(stage: StagePreview, *, show_payload: bool) -> Iterator[str]:
    refused = sorted(stage.refused.items(), key=lambda one: -one[1].count)
    for kind, one in refused[:MOST_REASONS]:
        what = failure_text(one.error, one.place, one.message, show_payload=show_payload)
        yield f"    {one.count:,} fail ({kind}), such as {one.sample}: {what}"
    if len(refused) > MOST_REASONS:
        yield f"    and {len(refused) - MOST_REASONS} other kinds of failures"


def _group_line(group: Group, *, show_payload: bool) -> str:
    told = group.sample.told
    what = failure_text(told.error, told.place, told.message, show_payload=show_payload)
    kind = f"{told.reason} ({told.fingerprint})"
    return f"  {group.count:,} {kind}, such as {group.sample.address}: {what}"
