"""The page at `/`: what is wrong, and how every pipeline does; made of a status report alone.

It needs no JavaScript and loads nothing from elsewhere. With JavaScript it renews itself in place.
"""

from jinja2 import Environment, PackageLoader, StrictUndefined

from streamapp.observability.partition_metrics import Pause
from streamapp.observability.stage_metrics import BreakerState
from streamapp.observability.stage_reading import WAITS
from streamapp.observability.stage_report import HELD, StatusReport
from streamapp.web.assets import SCRIPT, STYLE
from streamapp.web.markup import FILTERS, NOTHING, UNKNOWN, ago, anchor
from streamapp.web.overview import MOST_PARTITIONS, overview_of
from streamapp.web.trouble import level_of

RENEW_SECONDS = 5
"""How often the page is renewed."""


def page(report: StatusReport, pipeline: str | None = None) -> str:
    """The page as HTML.

    Args:
        report: what is known of one worker, or of several together.
        pipeline: name of the pipeline to show; `None` shows all, of very many the worst.
    """
    return _PAGE.render(view=overview_of(report, pipeline), now=report.at)


_BREAKERS = {
    BreakerState.CLOSED: "takes calls",
    BreakerState.OPEN: "left out",
    BreakerState.HALF_OPEN: "tried with a call",
}
_PAUSES = {
    Pause.BEHIND_ONE: "much is finished behind one record that is not",
    Pause.END: "a policy has said stop",
    Pause.POSITION_LOST: "its next record is not in the log",
    Pause.KEY_BACKLOG: "too many records wait behind failing ones of their keys",
    HELD: "held",
    WAITS: "waits until its records are due",
}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("streamapp.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(
        ago=ago,
        anchor=anchor,
        level_of=level_of,
        nothing=NOTHING,
        breakers=_BREAKERS,
        pauses=_PAUSES,
        unknown=UNKNOWN,
        most_partitions=MOST_PARTITIONS,
        renew_seconds=RENEW_SECONDS,
        style=STYLE.url,
        script=SCRIPT.url,
    )
    return environment


_PAGE = _environment().get_template("page.html")
