from pathlib import Path

import pytest

from benchmarks.publish import FIGURES, PAGES, filled


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_the_figures_say(page: Path) -> None:
    text = page.read_text()
    assert filled(text) == text, "`python -m benchmarks.publish` fills it"


def test_every_table_has_its_place() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in FIGURES if f"<!-- figures: {name} -->" not in text] == []


def test_a_table_takes_the_place_of_an_older_one() -> None:
    page = "before\n<!-- figures: inputs -->\nold\n<!-- end -->\nafter\n"
    once = filled(page)
    assert "old" not in once
    assert once.startswith("before\n<!-- figures: inputs -->\n\n| ")
    assert filled(once) == once
