"""Runbooks: a page for each alert, with commands that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamapp.cli.lazy_group import load
from streamapp.cli.main import COMMANDS
from streamapp.observability.alerts.rule_file import absent_rule, rule_file, rules
from streamapp.observability.alerts.runbook_pages import pages
from streamapp.observability.dashboards.catalogue import DASHBOARDS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "runbooks"
PAGES = dict(pages())


def test_the_pages_are_what_the_rules_say() -> None:
    kept = {file.name: file.read_text() for file in FOLDER.iterdir()}
    assert kept == PAGES, (
        "python -m streamapp.observability.alerts.runbook_pages docs/runbooks; remove old pages"
    )


def test_every_alert_leads_to_its_page() -> None:
    groups = yaml.safe_load(rule_file(["p"]))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == len(rules()) + 1
    for alert in alerts:
        page = ROOT / alert["annotations"]["runbook_url"]
        assert page.read_text().startswith(f"# {alert['alert']}\n")
        assert alert["annotations"]["runbook"] in page.read_text()


@pytest.mark.parametrize("rule", [*rules(), absent_rule("p")], ids=lambda rule: rule.name)
def test_a_page_says_how_to_see_it_and_what_to_do_in_sentences(rule: Any) -> None:
    book = rule.runbook
    assert book.see
    assert book.do
    for sentence in (book.means, *book.see, *book.do, book.ends):
        assert sentence.endswith("."), sentence
        assert ".." not in sentence


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_exist_with_their_options(name: str) -> None:
    for command in re.findall(r"`streamapp ([^`]+)`", PAGES[name]):
        _check(command.split())


def _check(words: list[str]) -> None:
    assert words[0] in COMMANDS, words
    command = load(words.pop(0))
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command = command.commands[words.pop(0)]
    options = {flag for one in command.params for flag in one.opts}
    takes = sum(one.param_type_name == "argument" for one in command.params)
    assert {w.partition("=")[0] for w in words if w.startswith("--")} <= options, words
    assert sum(not word.startswith("--") for word in words) <= takes, words


def test_panels_that_are_named_are_on_a_dashboard() -> None:
    titles = {panel.title for dashboard in DASHBOARDS for panel in dashboard.panels}
    titles |= {row.title for dashboard in DASHBOARDS for row in dashboard.rows}
    named = {
        title
        for text in PAGES.values()
        for line in text.splitlines()
        if re.search(r"\b(panels?|row) `", line)
        for title in re.findall(r"`([A-Z][^`]+)`", line)
    }
    assert len(named) > 5
    assert {one for one in named if not any(title.startswith(one) for title in titles)} == set()


def test_the_rules_that_compose_gives_prometheus_are_those_of_the_example() -> None:
    folder = ROOT / "deploy" / "prometheus"
    assert (folder / "rules.yml").read_text() == rule_file(["playback-quality"]), (
        "streamapp config alerts --pipeline playback-quality > deploy/prometheus/rules.yml"
    )
    assert yaml.safe_load((folder / "prometheus.yml").read_text())["rule_files"] == ["rules.yml"]
    compose = (ROOT / "docker-compose.yml").read_text()
    assert "./deploy/prometheus/rules.yml:/etc/prometheus/rules.yml:ro" in compose


@pytest.mark.parametrize("name", PAGES)
def test_only_commands_that_show_causes_are_said_to(name: str) -> None:
    for command in re.findall(r"`streamapp ([^`]+)` shows the cause", PAGES[name]):
        assert command.split()[0] in ("status", "lag")
