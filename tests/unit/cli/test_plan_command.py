"""`streamapp plan`: its forms, held against files, and what it refuses.

A file is renewed with `streamapp plan streamapp.examples.playback.pipeline:fused_pipeline --output
FORM > tests/unit/cli/plans/playback.FORM`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamapp import (
    AfterHold,
    Backoff,
    BreakerConfig,
    DeadLetterBudget,
    InMemoryCollector,
    KeyBacklog,
    Ordering,
    Pipeline,
    Topic,
    agent,
    batch_agent,
    chain,
    drop,
    parallel,
    retry,
    retry_later,
    stop,
)
from streamapp.cli.exit_codes import ExitCode
from streamapp.cli.main import app, exit_code_of
from streamapp.cli.plan_json import as_json
from streamapp.cli.plan_mermaid import as_mermaid
from streamapp.cli.plan_text import WIDTH, as_text
from streamapp.errors import StreamappError
from streamapp.middleware import TimeStages
from streamapp.pipeline.outline import Outline, outline_of
from streamapp.pipeline.topology import build

PLAYBACK = "streamapp.examples.playback.pipeline:fused_pipeline"
PLANS = Path(__file__).parent / "plans"


@agent
async def left(value: int) -> int:
    """Give it back."""
    return value


@agent(blocking=True)
def right(value: int) -> str:
    return str(value)


def both(value: int, number: int, word: str) -> int:
    return value + number + len(word)


def outline(pipeline: Pipeline[Any, Any]) -> Outline:
    return outline_of(build(pipeline))


def joined(**settings: Any) -> Outline:
    """A stage whose agent is a tree, with every setting that text mentions only if it is there."""
    made = chain(parallel(left, right).join(both), left, name='say "<#1>"')
    pipeline = Pipeline("p", source=Topic("in", int), audit="off")
    return outline(
        pipeline.stage(made, name="joined", renamed_from="old", **settings)
        .sink("out")
        .use(TimeStages())
        .collect(InMemoryCollector())
    )


@pytest.mark.parametrize("form", ["text", "json", "mermaid"])
def test_the_plan_of_the_example_is_as_in_its_file(form: str) -> None:
    done = CliRunner().invoke(app, ["plan", PLAYBACK, "--output", form])
    assert done.exit_code == ExitCode.OK
    assert done.stderr == ""
    assert done.stdout == (PLANS / f"playback.{form}").read_text()


def test_text_is_what_is_printed_by_default() -> None:
    done = CliRunner().invoke(app, ["plan", PLAYBACK])
    assert done.stdout == (PLANS / "playback.text").read_text()


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("no_such_module:pipeline", "there is no module 'no_such_module'"),
        (f"{PLAYBACK}s", "has no 'fused_pipelines'; its pipelines are: "),
        ("streamapp.examples.playback.pipeline:SOURCE", "is of type Topic, not a Pipeline"),
        ("tests/unit/cli/plans", "does not name a pipeline"),
        ("mine:pipeline", "the outputs of the last stage 'left' go nowhere"),
    ],
)
@pytest.mark.usefixtures("module_without_a_sink")
def test_what_is_no_pipeline_or_could_not_run_ends_in_one_sentence(
    target: str, sentence: str
) -> None:
    done = CliRunner().invoke(app, ["plan", target])
    assert done.stdout == ""
    assert isinstance(done.exception, StreamappError)
    assert sentence in str(done.exception)
    assert "\n" not in str(done.exception)
    assert exit_code_of(done.exception) is ExitCode.CONFIGURATION


@pytest.fixture
def module_without_a_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    lines = (
        "from streamapp import Pipeline, Topic, agent",
        "@agent",
        "def left(value: int) -> int: return value",
        'pipeline = Pipeline("p", source=Topic("in", int)).stage(left)',
    )
    (tmp_path / "mine.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine", None)


def test_another_form_is_refused() -> None:
    done = CliRunner().invoke(app, ["plan", PLAYBACK, "--output", "yaml"])
    assert done.exit_code == ExitCode.USAGE
    assert "Invalid value for '--output'" in done.stderr


@pytest.mark.parametrize(
    ("size", "linger_seconds", "words"),
    [
        (100, 0.05, "of up to 100 records; the first waits up to 0.05 s for others"),
        (2, 0, "of up to 2 records, of what is there"),
        (1, 1, "of up to 1 record; the first waits up to 1 s for others"),
    ],
)
def test_every_form_shows_size_and_wait_of_batches(
    size: int, linger_seconds: float, words: str
) -> None:
    @batch_agent(size=size, linger_seconds=linger_seconds)
    def together(values: list[int]) -> list[int]:
        return values

    made = outline(Pipeline("p", source=Topic("in", int)).stage(together).sink("out"))
    lines = as_text(made).splitlines()
    assert f"  batches         {words}" in lines
    assert "  concurrency     1 batch at a time" in lines
    [segment] = json.loads(as_json(made))["segments"]
    batching = segment["stages"][0]["agent"]["batching"]
    assert batching == {"size": size, "linger_seconds": linger_seconds}
    assert f'stage0["together: batches of {size}"]' in as_mermaid(made)


def test_concurrency_of_batches_counts_these_and_a_batch_may_be_tried_again() -> None:
    @batch_agent(size=2)
    async def together(values: list[int]) -> list[int]:
        return values

    made = Pipeline("p", source=Topic("in", int)).stage(together, on_error=stop()).sink("out")
    lines = as_text(outline(made)).splitlines()
    assert "  concurrency     up to 32 batches at once" in lines
    assert any(line.startswith("- A single attempt:") for line in lines)


def test_text_fits_a_terminal_and_shows_the_tree_of_parts() -> None:
    lines = as_text(joined()).splitlines()
    assert max(map(len, lines)) <= WIDTH
    at = lines.index('  agent           chain say "<#1>": int -> int')
    assert [line.strip() for line in lines[at + 1 : at + 5]] == [
        "├─ parallel both: int -> int",
        "│  ├─ left: int -> int",
        "│  └─ right: int -> str, in a thread",
        "└─ left: int -> int",
    ]
    assert "  middleware      TimeStages" in lines
    assert "  collectors      InMemoryCollector" in lines
    assert "  renamed from    old" in lines


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_error": stop()}, ["on failure stop the stage", "in an outage not held"]),
        ({"on_error": drop()}, ["on failure drop the record"]),
        (
            {"on_error": retry(1, then=stop()).on({KeyError: retry(0), OSError: drop()})},
            [
                "1 retry after a wait of up to 0.1 s; then stop the stage",
                "KeyError: dead letter OSError: drop the record",
            ],
        ),
        (
            {"max_hold_seconds": 60},
            ["held when 4 calls in a row or 50 % of at least 20", "after 60 s the policy decides"],
        ),
        (
            {"max_hold_seconds": 60, "after_hold": AfterHold.STOP},
            ["after 60 s the stage stops"],
        ),
        (
            {"breaker": BreakerConfig(slow_seconds=2, slow_rate=0.25, validation_rate=0.75)},
            [
                "25 % of the successes in 30 s take 2 s or longer",
                "75 % of the calls in 30 s fail by their records",
            ],
        ),
        ({"dead_letter_budget": None}, ["dead letters p.joined.dlq any number of them"]),
        (
            {"dead_letter_budget": DeadLetterBudget(per_minute=5, share=None)},
            ["hold beyond 5 a minute"],
        ),
        ({"dead_letter_budget": DeadLetterBudget(share=None)}, ["any number of them"]),
        (
            {"on_error": retry(1, then=retry_later([10]), backoff=Backoff(9, max_seconds=5))},
            [
                "1 retry after a wait of up to 5 s; then the same again",
                "one, then it goes to its next retry topic; if none is left, they are dead letters",
            ],
        ),
        ({}, ["at most 2,048 records wait behind a failing one, then they are dead letters"]),
        ({"ordering": Ordering.UNORDERED}, ["order none in flight"]),
        ({"on_key_backlog": KeyBacklog.STOP}, ["behind a failing one, then the stage stops"]),
        ({"on_key_backlog": KeyBacklog.WAIT}, ["any number of records may wait"]),
        ({"concurrency": 1}, ["concurrency 1 attempt at a time"]),
        ({"concurrency": 9}, ["concurrency up to 9 attempts at once"]),
        ({"timeout_seconds": 0.5}, ["attempt at most 0.5 s"]),
    ],
)
def test_text_says_each_setting_in_words(settings: dict[str, Any], words: list[str]) -> None:
    text = " ".join(as_text(joined(**settings)).split())
    assert [one for one in words if one not in text] == []


def test_a_stage_that_makes_no_dead_letters_shows_no_topic_of_them() -> None:
    found = joined(on_error=stop(), on_key_backlog="stop")
    assert "  dead letters  " not in as_text(found)
    assert ".dlq" not in as_mermaid(found)


def test_statements_name_their_stages_unless_these_are_all() -> None:
    pipeline = Pipeline("p", source=Topic("in", int)).stage(left)
    pipeline = pipeline.stage(left, name="second", ordering="unordered").sink("out")
    text = as_text(outline(pipeline))
    assert "- Order of records without a key. (left)\n" in text
    assert "whatever the lag.\n" in text


def test_json_is_versioned_and_has_the_tree() -> None:
    found = json.loads(as_json(joined()))
    assert found["schema_version"] == 1
    [stage] = found["segments"][0]["stages"]
    assert [part["kind"] for part in stage["agent"]["parts"]] == ["parallel", "agent"]


def test_mermaid_draws_parts_in_boxes_and_escapes_names() -> None:
    assert as_mermaid(joined()).splitlines() == [
        "flowchart LR",
        '  topic0[("in")]',
        '  topic1[("out")]',
        '  topic2[("p.joined.dlq")]:::deadLetters',
        '  subgraph stage0["joined: chain say #quot;#lt;#35;1#gt;#quot;"]',
        '    subgraph stage0_0["parallel both"]',
        '      stage0_0_0["left"]',
        '      stage0_0_1["right"]',
        "    end",
        '    stage0_1["left"]',
        "  end",
        "  topic0 --> stage0",
        "  stage0 --> topic1",
        "  stage0 -.-> topic2",
        "  classDef deadLetters stroke-dasharray: 4 4",
    ]
