"""Every document does what it says: blocks run, links lead somewhere, references are current."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from streamapp.cli.reference import cli_reference, exit_codes_reference, settings_reference
from streamapp.letters.sent_back import REPLAY_HEADER, REPLAYS_HEADER
from streamapp.observability.definitions import METRICS
from streamapp.observability.stage_metrics import DeadLetterReason
from streamapp.record import ERROR_HEADERS, StoredRecord, TopicPartition
from streamapp.runtime.dead_letters import Failure, error_headers
from streamapp.runtime.retry_records import DELAY_HEADER, DUE_HEADER, RETRY_HEADER
from tests.documents import ROOT, Reader, anchors, blocks, documents, links

LANGUAGES = {"python", "sh", "text", "yaml", "json", "ini", ""}


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _followed() -> list[object]:
    """The documents with blocks to run, marked where they need Kafka."""
    followed: list[object] = []
    for document in documents():
        found = list(blocks(document.read_text()))
        needs_kafka = any(b.language == "sh" and "broker up" in b.text for b in found)
        if any(block.language in ("python", "sh") for block in found):
            marks = [pytest.mark.kafka] if needs_kafka else []
            followed.append(pytest.param(document, marks=marks, id=_name(document)))
    return followed


@pytest.mark.parametrize("document", _followed())
def test_a_document_can_be_followed(document: Path, tmp_path: Path) -> None:
    Reader(document, tmp_path).follow()


@pytest.mark.parametrize("document", documents(), ids=_name)
def test_blocks_are_of_kinds_that_are_run_or_known_not_to_be(document: Path) -> None:
    assert {block.language for block in blocks(document.read_text())} <= LANGUAGES


@pytest.mark.parametrize("document", documents(), ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("document", documents(), ids=_name)
def test_every_metric_that_is_named_exists(document: Path) -> None:
    exported = {metric.name for metric in METRICS}
    named = set(re.findall(r"(?<!:)\bstreamapp_[a-z_]+", document.read_text()))
    assert named <= exported


def test_every_document_is_found_from_the_index() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        document = ahead.pop()
        if document in seen:
            continue
        seen.add(document)
        for link in links(document.read_text()):
            target = (document.parent / link.partition("#")[0]).resolve()
            if target.is_dir():
                target /= "README.md"
            if target.suffix == ".md" and target.exists():
                ahead.append(target)
    assert set(documents()) <= seen


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("cli", cli_reference),
        ("settings", settings_reference),
        ("exit-codes", exit_codes_reference),
    ],
)
def test_references_are_current(name: str, made: Callable[[], str]) -> None:
    assert (ROOT / "docs" / "reference" / f"{name}.md").read_text() == made(), (
        f"regenerate: python -m streamapp.cli.reference {name} > docs/reference/{name}.md"
    )


def test_the_page_on_dead_letters_names_every_header_and_reason() -> None:
    page = (ROOT / "docs" / "reference" / "dead-letters.md").read_text()
    failure = Failure("p", "s", ValueError("x"), DeadLetterReason.FAILED, 1, 0, 0, "run")
    record = StoredRecord(0, 0, None, b"")
    letter = error_headers((), TopicPartition("t", 0), record, failure)
    names = [name for name, _ in letter]
    in_page = [
        line.split("`")[1] for line in page.splitlines() if line.startswith(f"| `{ERROR_HEADERS}")
    ]
    waiting = [RETRY_HEADER, DELAY_HEADER, DUE_HEADER]
    assert in_page == [*names, *waiting, REPLAYS_HEADER, REPLAY_HEADER]
    assert all(f"| `{reason}` |" in page for reason in DeadLetterReason)


def test_every_file_that_the_glossary_names_exists() -> None:
    page = (ROOT / "docs" / "explanation" / "glossary.md").read_text()
    named = re.findall(r"\| `(streamapp/[\w/]+\.py)` \|$", page, re.MULTILINE)
    assert len(named) > 40
    assert [file for file in named if not (ROOT / file).exists()] == []


def test_no_word_of_the_glossary_has_two_entries() -> None:
    page = (ROOT / "docs" / "explanation" / "glossary.md").read_text()
    words = re.findall(r"^\| ([\w ]+) \| .*\.py` \|$", page, re.MULTILINE)
    assert sorted(words) == sorted(set(words))
