"""`streamapp dlq` on a real Kafka: find, group, mend, preview, replay; and kills in between."""

import json
import re
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.project import Project

SHOP = """
import os
from streamapp import Pipeline, Topic, agent, dead_letter

@agent
def check(value: dict) -> dict:
    if value["n"] % 5 == 0 and not os.environ.get("MENDED"):
        raise ValueError("a secret price")
    return value

pipeline = (
    Pipeline("{name}", source=Topic("{name}.raw", dict))
    .stage(check, on_error=dead_letter(), breaker=None, dead_letter_budget=None)
    .sink("{name}.out")
)
"""
RUN = ("run", "mine:pipeline", "--until-end", "--no-web", "--log-level", "ERROR")
CONTEXT = ["streamapp.context"]
KILLS = 3
MANY = 20_000
PARTITIONS = 4


async def write(project: Project, numbers: range) -> None:
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for n in numbers:
            await producer.send(
                f"{project.name}.raw",
                b'{"n":%d}' % n,
                key=b"k%d" % (n % 7),
                headers=[("trace", b"%d" % n)],
            )


def letters(project: Project, *arguments: str) -> list[dict[str, object]]:
    done = project.succeed("dlq", "list", "mine:pipeline", "--output", "json", *arguments)
    found: list[dict[str, object]] = json.loads(done)
    return found


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
async def test_a_poison_burst_is_found_mended_and_replayed(project: Project) -> None:
    await write(project, range(20))
    project.succeed(*RUN)
    table = project.succeed("dlq", "stats", "mine:pipeline", "--output", "table")
    heading, line, following = table.splitlines()
    assert heading.split()[:5] == ["letters", "stage", "reason", "error", "place"]
    assert line.split()[:4] == ["4", f"{project.name}.check", "failed", "ValueError"]
    [group] = json.loads(project.succeed("dlq", "stats", "mine:pipeline", "--output", "json"))
    assert group["count"] == 4
    assert following == f"Next: streamapp dlq show {group['sample']}"
    assert 6 * 86_400 < group["seconds_left"] <= 7 * 86_400

    listed = letters(project)
    assert len(listed) == 4
    assert all("key" not in one and one["headers"] == ["trace", *CONTEXT] for one in listed)
    assert len(letters(project, "--fingerprint", group["fingerprint"][:6])) == 4
    assert letters(project, "--header", "trace=15")[0]["original"]["offset"] is not None  # type: ignore[index]  # JSON
    assert len(letters(project, "--header", "trace=15", "--since", "1h")) == 1
    assert letters(project, "--until", "1h") == []

    shown = json.loads(project.succeed("dlq", "show", group["sample"]))
    assert (shown["place"], shown["state"]) == ("mine.py:check", "open")
    assert "secret" not in json.dumps(shown)
    text = project.succeed("dlq", "show", group["sample"], "--output", "table")
    assert "place        mine.py:check" in text
    assert "secret" not in text
    paid = json.loads(project.succeed("dlq", "show", group["sample"], "--show-payload"))
    assert orjson.loads(paid["value"])["n"] % 5 == 0
    assert paid["message"] == "a secret price"

    preview = project.succeed("dlq", "replay", "mine:pipeline", "--try")
    assert "Would send 0 dead letters." in preview
    assert "4 letters, of which 0 pass its agent now" in preview
    assert f"4 fail ({group['fingerprint']})" in preview
    assert "ValueError at mine.py:check" in preview
    assert "secret" not in preview
    assert "4 stay, as the code does not take them; --even-failing sends them too" in preview
    assert "a secret price" in project.succeed(
        "dlq", "replay", "mine:pipeline", "--try", "--show-payload"
    )
    mended = project.streamapp("dlq", "replay", "mine:pipeline", "--try", MENDED="1")
    assert "4 letters, of which 4 pass its agent now" in mended.stdout

    sent = project.streamapp("dlq", "replay", "mine:pipeline", "--yes", MENDED="1")
    assert sent.returncode == 0, sent.stderr
    assert "4 letters, of which 4 can be read now; its agent was not called" in sent.stdout
    assert f"Sent 4 to {project.name}.check.replay" in sent.stdout
    again = project.succeed("dlq", "replay", "mine:pipeline", "--yes")
    assert "Would send 0 dead letters." in again
    assert "4 were replayed before" in again
    assert letters(project) == []
    assert len(letters(project, "--state", "replayed")) == 4
    assert project.streamapp(*RUN, MENDED="1").returncode == 0
    values = [orjson.loads(one.value)["n"] for one in await project.read("out", 4)]
    assert sorted(values) == list(range(20))


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
async def test_what_becomes_of_replayed_letters_is_told(project: Project, tmp_path: Path) -> None:
    await write(project, range(10))
    project.succeed(*RUN)
    waiting = project.streamapp("dlq", "replay", "mine:pipeline", "--yes", "--wait", "0")
    assert waiting.returncode == ExitCode.LETTERS_WAITING
    assert "2 are not finished: do workers run these stages?" in waiting.stdout
    project.succeed(*RUN)
    with running(
        "run", "mine:pipeline", "--no-web", folder=tmp_path, cwd=project.folder, env=project.env
    ):
        again = ("dlq", "replay", "mine:pipeline", "--yes", "--wait", "60")
        first, second = project.streamapp(*again), project.streamapp(*again)
    for told in (first, second):
        assert told.returncode == ExitCode.LETTERS_LEFT
        assert "The stages have finished all 2: 2 have failed again." in told.stdout
        assert re.search(r"2 failed \(.*: ValueError at mine.py:check$", told.stdout, re.MULTILINE)
    assert "2 failed as before: do all workers run the mended code?" in first.stdout
    assert "2 were given up by workers that gave such letters up before" in second.stdout


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
async def test_letters_are_exported_and_discarded(project: Project, tmp_path: Path) -> None:
    await write(project, range(10))
    project.succeed(*RUN)
    file = tmp_path / "letters.jsonl"
    project.succeed("dlq", "export", "mine:pipeline", "--to", str(file))
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert sorted(orjson.loads(one["value"])["n"] for one in lines) == [0, 5]
    assert {name for one in lines for name, _ in one["headers"]} >= {"trace"}
    topic = f"{project.name}.check.dlq"
    discard = ("dlq", "discard", "--topic", topic, "--why", "a test", "--header", "trace=5")
    would = project.succeed(*discard)
    assert "Would discard 1 dead letters." in would
    assert re.search(rf"1 of {project.name}.check, failed \(.*: ValueError at mine.py:check", would)
    assert f"{topic}.ledger" not in project.succeed("topics", "list")
    assert f"Discarded 1 dead letters of {topic}." in project.succeed(*discard, "--yes")
    [left] = letters(project)
    [gone] = letters(project, "--state", "discarded")
    assert gone["done"]["why"] == "a test"  # type: ignore[index]  # JSON
    assert left["offset"] != gone["offset"] or left["partition"] != gone["partition"]
    assert "1 were discarded before" in project.succeed("dlq", "replay", "mine:pipeline")


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
async def test_what_stays_is_told_by_exit_code_and_what_a_replay_sent_is_sent_again(
    project: Project,
) -> None:
    large = Random(1).randbytes(30_000).hex()
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:
        for value in (b'{"n":0}', b'{"n":5,"text":"%s"}' % large.encode(), b"{"):
            await producer.send(f"{project.name}.raw", value)
    project.succeed(*RUN)
    replay = f"{project.name}.check.replay"
    await project.kafka.create_topics({replay: 2}, config={"max.message.bytes": "20000"})
    sent = project.streamapp("dlq", "replay", "mine:pipeline", "--yes", "--limit", "3")
    assert sent.returncode == ExitCode.LETTERS_LEFT, sent.stderr
    assert "1 stay, as the code does not take them; --even-failing sends them too" in sent.stdout
    assert f"Not sent: 1 too large for topic '{replay}'" in sent.stdout
    assert "raise its max.message.bytes from 20000 to 60" in sent.stdout
    told = re.search(r"Sent 1 to .*, replay (\w+)\.", sent.stdout)
    assert told is not None
    again = project.succeed("dlq", "replay", "mine:pipeline", "--again", told[1], "--yes")
    assert "Would send 1 dead letters." in again
    even = project.streamapp("dlq", "replay", "mine:pipeline", "--yes", "--even-failing")
    assert f"Sent 1 to {replay}" in even.stdout
    assert len(letters(project, "--state", "replayed")) == 2
    admin = AIOKafkaAdminClient(bootstrap_servers=project.kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([f"{project.name}.check.dlq.ledger"])
    finally:
        await admin.close()
    without = project.streamapp("dlq", "replay", "mine:pipeline", "--yes", "--even-failing")
    assert without.returncode == ExitCode.LETTERS_LEFT
    assert "2 stand in their replay topic, though their ledger has no entry" in without.stdout
    assert "Sent" not in without.stdout


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
def test_what_is_asked_for_wrongly_is_told_in_one_sentence(project: Project) -> None:
    wrong = {
        ("list", "--topic", "nowhere"): "there is no topic 'nowhere'",
        ("list", "mine:pipeline", "--stage", "chekc"): "mine:pipeline has no stage 'chekc'",
        ("list", "mine:pipeline", "--since", "yesterday"): "--since is 'yesterday'",
        ("list", "mine:pipeline", "--key", "base64:%"): "is no base64",
        ("show", "here"): "give TOPIC:PARTITION:OFFSET",
        ("show", f"{project.name}.check.dlq:0:7"): "there is no dead letter at",
        ("replay", "mine:pipeline", "--to-stage", "chekc"): "stage 'chekc': there are check",
        ("discard", "mine:pipeline", "--why", " "): "--why is empty",
    }
    for arguments, sentence in wrong.items():
        refused = project.streamapp("dlq", *arguments)
        assert refused.returncode == ExitCode.CONFIGURATION, (arguments, refused.stderr)
        assert sentence in refused.stderr
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
async def test_a_replay_that_is_killed_three_times_sends_every_letter_once(
    project: Project, tmp_path: Path
) -> None:
    await write(project, range(0, 5 * MANY, 5))
    project.succeed(*RUN)
    replay = ("dlq", "replay", "mine:pipeline", "--yes", "--rate", "3000")
    topic = f"{project.name}.check.replay"
    await project.kafka.create_topics({topic: PARTITIONS})
    sent_before = 0
    for kill in range(KILLS):
        folder = tmp_path / f"kill-{kill}"
        with running(*replay, folder=folder, cwd=project.folder, env=project.env) as command:
            sent = await _until_more_are_sent(project, topic, sent_before + MANY // 10)
            command.send(signal.SIGKILL)
            command.exit_code()
        assert sent < MANY  # it was killed in the middle
        sent_before = sent
    last = project.succeed(*replay[:-2])
    told = re.search(r"([\d,]+) were replayed before", last)
    assert told is not None
    before = int(told[1].replace(",", ""))
    assert 3 * (MANY // 10) <= before < MANY
    assert f"Would send {MANY - before:,} dead letters." in last
    found = Counter(await _committed_values(project, topic))
    assert len(found) == MANY
    assert set(found.values()) == {1}
    assert project.streamapp(*RUN, MENDED="1").returncode == 0
    outputs = Counter(await _committed_values(project, f"{project.name}.out"))
    assert outputs == found


@pytest.mark.parametrize("project", [SHOP], indirect=True, ids=["shop"])
async def test_a_signal_ends_a_replay_behind_a_transaction(
    project: Project, tmp_path: Path
) -> None:
    await write(project, range(0, 500, 5))
    project.succeed(*RUN)
    topic = f"{project.name}.check.replay"
    await project.kafka.create_topics({topic: PARTITIONS})
    slowly = ("dlq", "replay", "mine:pipeline", "--yes", "--rate", "20")
    with running(*slowly, folder=tmp_path, cwd=project.folder, env=project.env) as command:
        await _until_more_are_sent(project, topic, 10)
        command.send(signal.SIGTERM)
        assert command.exit_code() == ExitCode.LETTERS_INTERRUPTED
        told = re.search(r"Sent (\d+) to", command.stdout)
        assert "another call goes on behind it" in command.stderr
    assert told is not None
    sent = int(told[1])
    assert 10 <= sent < 100
    assert f"Would send {100 - sent} dead letters." in project.succeed(*slowly[:-3])


async def _until_more_are_sent(project: Project, topic: str, count: int) -> int:
    """Wait until the topic has so many committed records, and return how many it has."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = len(await _committed_values(project, topic))
        if found >= count:
            return found
    raise AssertionError(f"fewer than {count} letters were sent within a minute")


async def _committed_values(project: Project, topic: str) -> list[bytes]:
    """Values of all committed records of a topic, by a plain client."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=project.kafka.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        values: list[bytes] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            batches = await consumer.getmany(timeout_ms=200)
            values += [record.value for records in batches.values() for record in records]
        return values
    finally:
        await consumer.stop()
