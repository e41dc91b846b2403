"""Limits how often one log line is written, and tells how often it was left out."""

import logging

REPEAT_SECONDS = 10.0
"""A line that repeats itself is written this often."""

MOST_OF_OURS = 5
"""So many equal lines of our own are written within that time before the next ones are left out."""

_MAX_LINES_REMEMBERED = 1000
_MAX_CHARACTERS_REMEMBERED = 500  # of each: the lines of some libraries hold what they are about


def is_of(record: logging.LogRecord, *loggers: str) -> bool:
    """Whether a line is of one of these loggers, or of one below it."""
    return any(record.name == one or record.name.startswith(f"{one}.") for one in loggers)


class RepeatFilter(logging.Filter):
    """Leaves out lines that repeat themselves, and gives the next one their number, `repeated`.

    In an outage the Kafka client logs every attempt to connect, hundreds of times a second. Its
    lines are repetitions of one another if logger, level and template are equal, and ours if the
    whole text is.

    Where none follows, the number is told in a line of its own, with the next line that anybody
    logs. Lines of all others, such as agents, are left alone.

    Args:
        clients: names of the loggers of libraries.
        repeat_seconds: time after which a line is written again.
    """

    def __init__(self, clients: tuple[str, ...], repeat_seconds: float = REPEAT_SECONDS) -> None:
        super().__init__()
        self._clients = clients
        self._repeat_seconds = repeat_seconds
        self._last: dict[tuple[str, int, str], tuple[float, int]] = {}
        self._told_at = -repeat_seconds

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if hasattr(record, "repeated"):  # told below
            return True
        is_ours = is_of(record, "streamapp")
        if not is_ours and not is_of(record, *self._clients):
            return True
        text = record.getMessage() if is_ours else str(record.msg)
        line = (record.name, record.levelno, text[:_MAX_CHARACTERS_REMEMBERED])
        self._tell_ended(line, record.created)
        most = _most(record.name)
        began_at, count = self._last.get(line, (-self._repeat_seconds, 0))
        if 0 <= record.created - began_at < self._repeat_seconds:  # or the clock was set back
            self._last[line] = (began_at, count + 1)
            return count < most
        if len(self._last) > _MAX_LINES_REMEMBERED:
            self._last.clear()
        self._last[line] = (record.created, 1)
        if count > most:
            record.repeated = count - most
        return True

    def _tell_ended(self, current: tuple[str, int, str], now: float) -> None:
        """Tell how often lines were left out that have not come again since."""
        if 0 <= now - self._told_at < self._repeat_seconds:
            return
        self._told_at = now
        for line, (began_at, count) in list(self._last.items()):
            (name, level, text), left_out = line, count - _most(line[0])
            if line == current or left_out <= 0 or now - began_at < 2 * self._repeat_seconds:
                continue
            del self._last[line]
            logging.getLogger(name).log(level, "%s", text, extra={"repeated": left_out})


def _most(logger: str) -> int:
    return MOST_OF_OURS if logger.partition(".")[0] == "streamapp" else 1
