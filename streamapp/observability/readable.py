"""Formats numbers for people: grouped digits and a fitting unit."""

_MS = 1e-3
_KIB = 1024
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def amount(count: int) -> str:
    """A number with its thousands separated: `1,234,567`."""
    return f"{count:,}"


def counted(count: int, noun: str) -> str:
    """A number of things: `1 probe`, `2,048 probes`."""
    return f"{amount(count)} {noun if count == 1 else noun + 's'}"


def bytes_amount(count: int) -> str:
    """Bytes in the largest unit that leaves a number above one: `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"  # noqa: PLR2004 - three digits
        value /= _KIB
    return f"{value:,.1f} GiB"


def per_second(rate: float) -> str:
    """A rate: `0/s`, `0.25/s`, `1,234/s`."""
    size = abs(rate)
    if size >= 10 or rate == 0:  # noqa: PLR2004 - two digits are enough to see
        return f"{rate:,.0f}/s"
    return f"{rate:.1f}/s" if size >= 1 else f"{rate:.2g}/s"


def share(ratio: float) -> str:
    """A part of one in hundredths: `0 %`, `0.4 %`, `37 %`."""
    percent = 100 * ratio
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"  # noqa: PLR2004 - two digits


def duration(seconds: float) -> str:
    """A short time in microseconds, milliseconds or seconds."""
    if seconds < _MS:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.3g} s"


def age(seconds: float) -> str:
    """An elapsed time, rounded the more the longer it is: `3 s`, `2 h 5 min`."""
    seconds = max(0.0, seconds)
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - one digit
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"
    return f"{int(seconds // _DAY)} d {int(seconds % _DAY // _HOUR)} h"
