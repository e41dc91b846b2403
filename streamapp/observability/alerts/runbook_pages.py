"""The pages of the runbooks, made of the rules.

`python -m streamapp.observability.alerts.runbook_pages FOLDER` writes docs/runbooks.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from streamapp.observability.alerts.rule import PAGE, AlertRule
from streamapp.observability.alerts.rule_file import absent_rule, page_name, rules


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page, and of their index."""
    every = (*rules(), absent_rule("PIPELINE"))
    yield "README.md", "\n".join(_index(every)) + "\n"
    for rule in every:
        yield page_name(rule), "\n".join(_page(rule)) + "\n"


def _index(every: tuple[AlertRule, ...]) -> Iterator[str]:
    yield "# Runbooks"
    yield ""
    yield "One page for each alert that `streamapp config alerts` prints. Made from"
    yield "`streamapp/observability/alerts` by"
    yield "`python -m streamapp.observability.alerts.runbook_pages docs/runbooks`."
    yield ""
    yield "| alert | calls | what it means |"
    yield "| --- | --- | --- |"
    for rule in every:
        means = rule.runbook.means.split(". ")[0].rstrip(".")
        called = "at once" if rule.severity == PAGE else "in working hours"
        yield f"| [{rule.name}]({page_name(rule)}) | {called} | {means} |"


def _page(rule: AlertRule) -> Iterator[str]:
    book = rule.runbook
    when = f"for {rule.for_seconds} seconds" if rule.for_seconds else "once"
    yield f"# {rule.name}"
    yield ""
    yield f"Severity `{rule.severity}`. It fires when this has held {when}:"
    yield ""
    yield "```"
    yield rule.expression
    yield "```"
    yield from ("", "## What it means", "", book.means)
    yield from ("", "## How to see it", "", *(f"- {one}" for one in book.see))
    steps = (f"{number}. {one}" for number, one in enumerate(book.do, 1))
    yield from ("", "## What to do", "", *steps)
    yield from ("", "## When it ends", "", book.ends)


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
