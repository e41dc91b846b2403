"""What is used of the Kafka client's inside is there: whoever raises its version sees it here."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import aiokafka
import pytest
from aiokafka import client, cluster, conn
from aiokafka.consumer import consumer, fetcher, group_coordinator, subscription_state
from aiokafka.producer import message_accumulator, producer, sender, transaction_manager

from streamapp.brokers import kafka
from streamapp.brokers.kafka import parsing
from streamapp.brokers.kafka.parsing import log_of, replace_parser

SOURCES = (
    *(consumer, fetcher, group_coordinator, subscription_state),
    *(client, conn, cluster, producer, sender, message_accumulator, transaction_manager),
)
USERS = [
    path
    for path in sorted(Path(kafka.__file__).parent.glob("*.py"))
    if "SLF001" in path.read_text()
]
"""The modules that say that they use private names, which a linter has them say."""


def test_the_version_is_the_one_whose_inside_is_known() -> None:
    assert aiokafka.__version__.startswith("0.14."), "compare fetches.py with its fetcher.py"


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.stem)
def test_every_private_name_that_is_used_is_the_clients(path: Path) -> None:
    text = path.read_text()
    used = set(re.findall(r"(?<!self)\.(_[a-z]\w*)", text))
    own = set(re.findall(r"(?:\bself\.|\bdef )(_[a-z]\w*)", text))
    theirs = "".join(map(inspect.getsource, SOURCES))
    assert used
    assert {name for name in used - own if not re.search(rf"\b{name}\b", theirs)} == set()


def test_the_method_that_receives_responses_can_be_run_with_another_parser() -> None:
    receive = fetcher.Fetcher._proc_fetch_request
    assert inspect.iscoroutinefunction(receive)
    assert "MemoryRecords" in receive.__code__.co_names
    assert receive.__closure__ is None


def test_only_our_own_consumers_get_another_parser() -> None:
    own = fetcher.Fetcher.__new__(fetcher.Fetcher)
    replace_parser(SimpleNamespace(_fetcher=own))
    used = own._proc_fetch_request.__func__.__globals__["MemoryRecords"]
    assert type(log_of(b"")) is used
    assert fetcher.MemoryRecords is not parsing.NativeLog
    own.__dict__.clear()
    own._fetch_task = SimpleNamespace(done=lambda: True, cancel=lambda: None)  # for its `__del__`
