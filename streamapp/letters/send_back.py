"""What a dead letter is sent back as: its original, with headers that say what happened to it."""

from streamapp.letters.letter import Dialect, Letter
from streamapp.letters.sent_back import REPLAY_HEADER, REPLAYS_HEADER, SentBack
from streamapp.record import ERROR_HEADERS, FIRST_ERROR_HEADER, Headers


def headers_sent_back(letter: Letter, pipeline: str, stage: str, replay: str) -> Headers:
    """Headers of the record that a stage finds in its replay topic.

    Args:
        letter: the dead letter.
        pipeline: the pipeline to which it goes.
        stage: the stage in it.
        replay: id of the replay.
    """
    facts = dict(letter.headers) if letter.told.dialect is Dialect.STREAMAPP else {}
    own = [
        (name, content)
        for name, content in facts.items()
        if name.startswith(ERROR_HEADERS) and name not in (REPLAY_HEADER, REPLAYS_HEADER)
    ]
    if own:
        own.sort(key=lambda header: header[0] != FIRST_ERROR_HEADER)  # they begin with this one
    else:
        own = list(_facts_of_another(letter, pipeline, stage))
    back = SentBack(letter.told.sent_back.times + 1, replay)
    return [*letter.original_headers, *own, *back.headers()]


def _facts_of_another(letter: Letter, pipeline: str, stage: str) -> Headers:
    """What our headers would say of a letter that another system wrote."""
    told = letter.told
    is_known = bool(told.topic) and told.partition is not None and told.offset is not None
    facts = {
        "pipeline": pipeline,
        "stage": stage,
        "topic": told.topic if is_known else letter.place.topic,
        "partition": told.partition if is_known else letter.place.partition,
        "offset": told.offset if is_known else letter.offset,
        "timestamp": letter.timestamp_ms if told.timestamp_ms is None else told.timestamp_ms,
        "class": told.error,
        "reason": told.reason or told.dialect.value,
        "fingerprint": told.fingerprint,
        "attempts": 0,
        "first_failure": max(0, letter.failed_ms),
        "last_failure": max(0, letter.failed_ms),
    }
    return [(ERROR_HEADERS + name, str(value).encode()) for name, value in facts.items()]
