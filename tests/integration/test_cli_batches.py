"""Worker processes that work on batches, and that come and go while batches fill."""

import asyncio
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running
from tests.patience import eventually
from tests.project import Project

SIZE = 50
KEYS = 20
PARTITIONS = 4
PATIENCE_SECONDS = 60.0

BATCHES = """
import os
from streamapp import Pipeline, Topic, batch_agent

@batch_agent(size=50, linger_seconds=float(os.environ.get("LINGER", "30")))
def stored(values: list[dict]) -> list[dict]:
    print("a batch of", len(values), flush=True)
    return [value | {{"pid": os.getpid()}} for value in values]

pipeline = Pipeline("{name}", source=Topic("{name}.raw", dict)).stage(stored).sink("{name}.out")
"""


@asynccontextmanager
async def fed(project: Project) -> AsyncIterator[list[int]]:
    """Write records of all keys while the block runs, and then less than a batch; gives them."""
    written: list[int] = []
    enough = asyncio.Event()
    async with AIOKafkaProducer(bootstrap_servers=project.kafka.bootstrap_servers) as producer:

        async def write(numbers: Sequence[int]) -> None:
            sent = [
                await producer.send(f"{project.name}.raw", b'{"n":%d}' % n, key=b"k%d" % (n % KEYS))
                for n in numbers
            ]
            await asyncio.gather(*sent)
            written.extend(numbers)

        async def feed() -> None:
            for start in count(step=KEYS):
                if enough.is_set():
                    break
                await write(range(start, start + KEYS))
                await asyncio.sleep(0.05)
            await write(range(start, start + 7))

        feeding = asyncio.create_task(feed())
        try:
            yield written
        finally:
            enough.set()
            await feeding


async def came(project: Project) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in await project.read("out", PARTITIONS)]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("project", [BATCHES], indirect=True, ids=["batches"])
async def test_no_record_is_lost_or_repeated_when_workers_come_and_go_while_batches_fill(
    project: Project,
) -> None:
    run = ("run", "mine:pipeline", "--no-web", "--progress-seconds", "0.5")
    folder, env = project.folder, project.env
    with running(*run, folder=folder / "one", cwd=folder, env=env) as one:
        async with fed(project) as written:
            await eventually(lambda: "a batch of 50" in one.stdout, seconds=PATIENCE_SECONDS)
            with running(*run, folder=folder / "two", cwd=folder, env=env) as two:
                await eventually(lambda: "a batch of 50" in two.stdout, seconds=PATIENCE_SECONDS)
                two.send(signal.SIGTERM)
                assert await asyncio.to_thread(two.exit_code) == ExitCode.OK

        async def less_than_a_batch_is_left() -> bool:
            return len(await came(project)) > len(written) - SIZE

        await eventually(less_than_a_batch_is_left, seconds=PATIENCE_SECONDS)
        # The last batch fills and waits for others: seven more than full ones were written.
        one.send(signal.SIGTERM)
        assert one.exit_code() == ExitCode.OK
    before = await came(project)
    assert len(before) < len(written), "the last batch was not left to the next run"
    project.streamapp("run", "mine:pipeline", "--until-end", "--no-web", LINGER="0.01")
    found = await came(project)
    assert Counter(value["n"] for value in found) == Counter(written)
    assert len({value["pid"] for value in found}) == 3
    by_key = defaultdict(list)
    for value in found:
        by_key[value["n"] % KEYS].append(value["n"])
    assert len(by_key) == KEYS
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
