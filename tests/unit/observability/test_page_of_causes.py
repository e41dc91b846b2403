"""The reference page of the causes is that of the table."""

from pathlib import Path

from streamapp.observability.causes import reference

PAGE = Path("docs/reference/causes.md")


def test_the_page_is_made_of_the_table() -> None:
    assert PAGE.read_text() == "\n".join(reference()) + "\n", (
        "regenerate: python -m streamapp.observability.causes > docs/reference/causes.md"
    )
