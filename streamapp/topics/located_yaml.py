"""YAML with line numbers, for messages about faults."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode


class YamlFaultError(Exception):
    """The text is not valid YAML.

    Attributes:
        line: line of the fault, counted from one.
    """

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class LocatedYaml:
    """One YAML document.

    Attributes:
        data: the document as plain values; `None` for an empty text.
        root: its node tree, which has the line numbers.
    """

    data: Any
    root: Node | None

    def line_of(self, path: Sequence[str | int]) -> int:
        """Line, counted from one, of the value at this path, or of its deepest existing part."""
        node, line = self.root, 1
        if node is not None:
            line = node.start_mark.line + 1
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            node, line = found
        return line


def parse_yaml(text: str) -> LocatedYaml:
    """Parse one document with YAML's plain types only.

    Raises:
        YamlFaultError: the text is not YAML, has several documents, or has a key twice (which
            YAML forbids and PyYAML accepts).
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:  # characters that YAML forbids
        raise YamlFaultError(_one_line(str(error)), line=1) from error
    try:
        root = loader.get_single_node()
        if root is None:
            return LocatedYaml(None, None)
        _refuse_duplicate_keys(root, set())
        return LocatedYaml(loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or "this is not YAML"
        raise YamlFaultError(_one_line(message), line=mark.line + 1 if mark else 1) from error
    except (yaml.YAMLError, ValueError) as error:  # such as a date of the 32nd
        raise YamlFaultError(_one_line(str(error)), line=loader.get_mark().line + 1) from error
    finally:
        loader.dispose()


def _child(node: Node | None, part: str | int) -> tuple[Node, int] | None:
    """The child of `node` and its line; in a mapping, the line of the key."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == str(part):
                return value, key.start_mark.line + 1
    elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: Node = node.value[part]
        return item, item.start_mark.line + 1
    return None


def _refuse_duplicate_keys(node: Node, seen: set[int]) -> None:
    if id(node) in seen:  # an alias, which may point to a node that contains it
        return
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for item in node.value:
            _refuse_duplicate_keys(item, seen)
    elif isinstance(node, MappingNode):
        keys = set()
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                if (key.tag, key.value) in keys:
                    raise YamlFaultError(
                        f"the key {key.value!r} occurs twice: remove one",
                        line=key.start_mark.line + 1,
                    )
                keys.add((key.tag, key.value))
            _refuse_duplicate_keys(value, seen)


def _one_line(text: str) -> str:
    return " ".join(text.split())
