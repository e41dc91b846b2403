"""The fault tests in short; `make torture` plays them in full and plants bugs.

Kills in short are those of test_crash.py.
"""

import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.torture.report import table
from tests.torture.runner import SCENARIOS, ground, play
from tests.torture.stand import Ground

ONE_NODE = (
    "zombie",
    "churn",
    "network",
    "rolling-stateful-set",
    "dependency",
    "endpoints",
    "letters",
    "later",
    "replay",
    "outage",
)
THREE_NODES = ("bounce",)

log = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with ground(tmp_path_factory.mktemp("one"), nodes=1) as shared:
        yield shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with ground(tmp_path_factory.mktemp("three"), nodes=3) as shared:
        yield shared


@pytest.mark.parametrize("name", ONE_NODE)
async def test_nothing_is_lost_and_order_is_kept(one_node: Ground, name: str) -> None:
    await _holds(one_node, name)


@pytest.mark.parametrize("name", THREE_NODES)
async def test_nothing_is_lost_when_nodes_go(three_nodes: Ground, name: str) -> None:
    await _holds(three_nodes, name)


async def _holds(on: Ground, name: str) -> None:
    outcome = await play(name, on, scale=SCENARIOS[name].short)
    log.info("\n%s", "\n".join(table([outcome])))
    assert outcome.ok, outcome.violations
    assert outcome.counts is not None
    assert outcome.faults.total() > 0
