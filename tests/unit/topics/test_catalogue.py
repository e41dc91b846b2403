from pathlib import Path

import pytest
from pydantic import ValidationError

from streamapp.errors import TopicError
from streamapp.topics.catalogue import Catalogue, read_catalogue
from streamapp.topics.declaration import DeclaredTopic

GOOD = """\
topics:
  - name: orders
    description: Orders as customers place them.
    partitions: 4
    replication_factor: 3
    retention: 12h
    cleanup_policy: compact,delete
    max_message_bytes: 2000
    keyed: false
    schema: order.json
    config:
      min.insync.replicas: 2
      unclean.leader.election.enable: false
  - name: orders.dlq
    partitions: 1
"""


def faults(folder: Path) -> list[str]:
    with pytest.raises(TopicError) as caught:
        read_catalogue(folder)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def faults_of(folder: Path, text: str) -> list[str]:
    (folder / "t.yaml").write_text(text)
    return faults(folder)


def test_declarations_become_specs(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(GOOD)
    (tmp_path / "order.json").write_text('{"type": "object"}')
    catalogue = read_catalogue(tmp_path)
    orders, dlq = catalogue.specs()
    assert (orders.name, orders.partitions, orders.replication_factor) == ("orders", 4, 3)
    assert orders.config == {
        "retention.ms": "43200000",
        "cleanup.policy": "compact,delete",
        "max.message.bytes": "2000",
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
    }
    assert (dlq.name, dlq.partitions, dlq.replication_factor) == ("orders.dlq", 1, None)
    assert dlq.config["retention.ms"] == str(7 * 24 * 3600 * 1000)
    assert catalogue.unkeyed() == {"orders"}


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("90s", 90_000), ("30m", 1_800_000), ("forever", -1)]
)
def test_retention_is_given_with_its_unit(tmp_path: Path, text: str, milliseconds: int) -> None:
    (tmp_path / "t.yaml").write_text(
        f"topics:\n  - {{name: a, partitions: 1, retention: {text}}}\n"
    )
    assert read_catalogue(tmp_path).topics["a"].retention == milliseconds


def test_all_faults_of_all_files_come_at_once_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "topics:\n"
        "  - name: a b\n"
        "    partitions: 0\n"
        "    retention: 7\n"
        "    keyed: maybe\n"
        "    schema: missing.json\n"
        "    colour: red\n"
        "  - name: twice\n"
        "    partitions: '4'\n"
    )
    (tmp_path / "b.yaml").write_text("topics:\n  - name: twice\n")
    assert faults(tmp_path) == [
        (
            "a.yaml:2: topics[0].name: the name holds a character that Kafka does not take:"
            " use a-z, A-Z, 0-9, '.', '_' and '-', not 'a b'"
        ),
        "a.yaml:3: topics[0].partitions: should be greater than or equal to 1, not 0",
        (
            "a.yaml:4: topics[0].retention: give a whole number and s, m, h or d, such as 7d,"
            " or the word forever, not 7"
        ),
        "a.yaml:5: topics[0].keyed: should be a valid boolean, not 'maybe'",
        (
            "a.yaml:7: topics[0].colour: there is no such field: the fields are name, description,"
            " partitions, replication_factor, retention, cleanup_policy, max_message_bytes, keyed,"
            " schema, config"
        ),
        "a.yaml:9: topics[1].partitions: should be a valid integer, not '4'",
        (
            "a.yaml:6: topics[0].schema: the file missing.json cannot be read"
            " (No such file or directory): correct the path"
        ),
        "b.yaml:2: topics[0].partitions: is missing: add it",
        "b.yaml:2: the topic 'twice' is declared already at a.yaml:8: remove one",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("topics: [a", "t.yaml:1: expected ',' or ']', but got '<stream end>'"),
        (
            "topics:\n  - name: a\n    name: b\n",
            "t.yaml:3: the key 'name' occurs twice: remove one",
        ),
        ("topics: []\n---\ntopics: []\n", "t.yaml:2: but found another document"),
        ("topics: !!python/name:os.system\n", "t.yaml:1: could not determine a constructor"),
        ("topics:\n- {name: 2026-13-40}\n", "t.yaml:"),
        ("topics: \x00", "t.yaml:1: unacceptable character"),
        ("", "t.yaml: the file is empty: declare topics in it, or remove it"),
        ("- name: a\n", "t.yaml:1: give a mapping of field names to values"),
        ("topics: 5\n", "t.yaml:1: topics: should be a valid list, not 5"),
        ("topics:\n\n- a\n", "t.yaml:3: topics[0]: give a mapping of field names to values"),
        ("topic: []\n", "t.yaml:1: topics: is missing: add it"),
        (
            "topics:\n- name: a\n  partitions: 1\n  config:\n    retention.ms: 5\n",
            "t.yaml:4: topics[0].config: retention.ms has a field of its own: use retention",
        ),
        (
            "topics:\n- name: a\n  partitions: 1\n  config:\n    cleanup.policy: compact\n",
            "t.yaml:4: topics[0].config: cleanup.policy has a field of its own: use cleanup_policy",
        ),
        (
            "topics:\n- name: a\n  partitions: 1\n  config:\n    max.message.bytes: 5\n",
            (
                "t.yaml:4: topics[0].config: max.message.bytes has a field of its own: use"
                " max_message_bytes"
            ),
        ),
        (
            "topics:\n- name: a\n  partitions: 1\n  config:\n    segment.ms:\n",
            "t.yaml:5: topics[0].config.segment.ms: should be a valid string, not None",
        ),
        (
            "topics:\n- name: a\n  partitions: 1\n  cleanup_policy: shred\n",
            (
                "t.yaml:4: topics[0].cleanup_policy: should be 'delete', 'compact' or"
                " 'compact,delete', not 'shred'"
            ),
        ),
    ],
)
def test_a_fault_names_file_line_and_field(tmp_path: Path, text: str, fault: str) -> None:
    assert faults_of(tmp_path, text)[0].startswith(fault)


def test_bytes_that_are_no_text_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"\xff\xfe\x00")
    assert faults(tmp_path)[0].startswith("t.yaml: the file cannot be read as UTF-8 text")


@pytest.mark.parametrize(
    ("content", "says"), [("{", "is not JSON"), ("[1]", "is not a JSON schema: it holds list")]
)
def test_a_schema_file_has_to_hold_a_schema(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "s.json").write_text(content)
    text = "topics:\n  - name: a\n    partitions: 1\n    schema: s.json\n"
    assert says in faults_of(tmp_path, text)[0]


def test_an_alias_to_itself_does_not_hang(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "topics: &a [*a]\n")


def test_anchors_and_merges_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text(
        "topics:\n  - &a {name: a, partitions: 2}\n  - {<<: *a, name: b}\n"
    )
    assert read_catalogue(tmp_path).topics["b"].partitions == 2


def test_a_folder_without_declarations_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(TopicError, match=r"has no \*\.yaml file"):
        read_catalogue(tmp_path)
    with pytest.raises(TopicError, match="there is no folder"):
        read_catalogue(tmp_path / "none")


def declared(folder: Path, *fields: str) -> DeclaredTopic:
    """A topic with these lines."""
    lines = ["topics:", "  - name: a", "    partitions: 1", *(f"    {field}" for field in fields)]
    (folder / "t.yaml").write_text("\n".join(lines))
    return read_catalogue(folder).topics["a"]


def test_the_smallest_numbers_can_be_declared(tmp_path: Path) -> None:
    topic = declared(tmp_path, "replication_factor: 1", "max_message_bytes: 1")
    assert (topic.replication_factor, topic.max_message_bytes) == (1, 1)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("replication_factor: 0", "should be greater than or equal to 1, not 0"),
        ("max_message_bytes: 0", "should be greater than or equal to 1, not 0"),
        ("schema: ''", "should have at least 1 character, not ''"),
        ("config: 5", "should be a valid dictionary, not 5"),
        ("keyed: 'yes'", "should be a valid boolean, not 'yes'"),
    ],
)
def test_a_value_out_of_range_is_a_fault(tmp_path: Path, field: str, fault: str) -> None:
    with pytest.raises(TopicError, match=fault):
        declared(tmp_path, field)


def test_a_schema_file_may_have_a_short_name_and_allow_everything(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("true")
    assert declared(tmp_path, "schema: s").value_schema == "s"


def test_declarations_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        declared(tmp_path).partitions = 2  # type: ignore[misc]  # the point of the test


def test_a_field_beside_the_topics_is_told_with_the_fields_of_a_file(tmp_path: Path) -> None:
    text = "topics: []\ncolour: red\n"
    assert faults_of(tmp_path, text) == [
        "t.yaml:2: colour: there is no such field: the fields are topics"
    ]


def test_a_catalogue_may_be_empty() -> None:
    assert Catalogue().specs() == ()
