"""Values as HTML for people. What is not known is shown as such, and never as zero."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from markupsafe import Markup, escape

from streamapp.observability.readable import age, amount, bytes_amount, duration, per_second, share

UNKNOWN = Markup(
    '<span class="unknown" aria-hidden="true">?</span><span class="unseen">not known</span>'
)
NOTHING = Markup(
    '<span class="none" aria-hidden="true">-</span><span class="unseen">does not apply</span>'
)


def known(format_value: Callable[[float], str]) -> Callable[[float | None], Markup]:
    """A filter that writes a number as text, and `None` as not known."""

    def filtered(value: float | None) -> Markup:
        return UNKNOWN if value is None else escape(format_value(value))

    return filtered


def instant(at: float) -> str:
    """A time in seconds since the epoch, such as `2026-11-28 01:02:03 UTC`."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(at: float | None, now: float) -> Markup:
    """How long ago a time is, with the time itself for machines and as a hint."""
    if at is None:
        return UNKNOWN
    stamp = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        stamp, instant(at), age(now - at)
    )


def anchor(*names: str) -> str:
    """A name for an element of the page, of the names of what it shows."""
    return "-".join(re.sub(r"[^\w.]", "_", name) for name in names)


FILTERS: dict[str, Callable[..., str]] = {
    "amount": known(lambda value: amount(int(value))),
    "bytes": known(lambda value: bytes_amount(int(value))),
    "rate": known(per_second),
    "age": known(age),
    "duration": known(duration),
    "share": known(share),
    "instant": instant,
}
