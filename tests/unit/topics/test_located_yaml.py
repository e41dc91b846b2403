"""YAML that remembers its lines."""

import pytest

from streamapp.topics.located_yaml import LocatedYaml, YamlFaultError, parse_yaml

TEXT = """\
# orders
topics:
  - name: a
    config:
      x: 1
  - [one, two]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ([], 2),
        (["topics"], 2),
        (["topics", 0], 3),
        (["topics", 0, "config", "x"], 5),
        (["topics", 0, "config", "missing", "x"], 4),
        (["topics", 1, 1], 6),
        (["topics", 2], 2),
        (["topics", "name"], 2),
        (["missing", "topics"], 2),
    ],
)
def test_a_path_is_found_at_its_line_or_at_that_of_its_deepest_part(
    path: list[str | int], line: int
) -> None:
    assert parse_yaml(TEXT).line_of(path) == line


def test_an_empty_text_has_one_line() -> None:
    document = parse_yaml("")
    assert document == LocatedYaml(None, None)
    assert document.line_of(["topics"]) == 1


def test_a_fault_says_what_and_where() -> None:
    with pytest.raises(YamlFaultError, match="occurs twice") as caught:
        parse_yaml("a: 1\nb: 2\na: 3\n")
    assert caught.value.line == 3
