"""The development broker as its Python users have it: the class and the test fixture."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from streamapp.brokers.kafka.broker import KafkaBroker
from streamapp.brokers.protocols import TopicSpec
from streamapp.errors import ConfigurationError
from streamapp.local_kafka.broker import DevBroker
from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.errors import PortInUseError, StartError
from streamapp.settings import KafkaSettings
from tests.kafka import Kafka, running_kafka
from tests.patience import within

pytestmark = pytest.mark.kafka

SMALL = BrokerOptions(heap_mb=256)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """In place of the fixture for all tests: this tool blocks, and is in no worker."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose broker, if there is one, is down at the end."""
    folder = tmp_path / "broker"
    yield folder
    DevBroker(folder).down()


def until(condition: Callable[[], bool], timeout_seconds: float = 30.0) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def kafka_processes(folder: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
        and process.pid != os.getpid()
    ]


async def topics(bootstrap_servers: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def coordinator(bootstrap_servers: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        return int(await admin.find_coordinator("a group that is the first to ask"))
    finally:
        await admin.close()


def test_groups_can_be_used_as_soon_as_it_is_up(folder: Path) -> None:
    state = DevBroker(folder, SMALL).up().status.state
    assert asyncio.run(coordinator(state.bootstrap_servers)) >= 0


async def test_a_record_written_to_the_session_broker_is_read_back(kafka: Kafka) -> None:
    topic = await kafka.create_topic("there-and-back")
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer,
        AIOKafkaConsumer(
            topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer,
    ):
        await producer.send_and_wait(topic, b"value", key=b"key")
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")


def test_what_asks_for_kafka_is_marked(kafka: Kafka, request: pytest.FixtureRequest) -> None:
    assert kafka.bootstrap_servers
    assert request.node.get_closest_marker("kafka") is not None


async def test_it_can_be_started_where_an_event_loop_runs(folder: Path) -> None:
    assert asyncio.get_running_loop().is_running()
    assert DevBroker(folder, SMALL).up().status.ready


async def test_after_a_crash_it_comes_back_with_its_address_and_topics(folder: Path) -> None:
    with running_kafka(folder, SMALL) as kafka:
        topic = await kafka.create_topic("kept")
        status = kafka.broker.status()
        assert status is not None
        os.kill(status.pids[0], signal.SIGKILL)
        assert until(lambda: kafka.broker.status() is None)

        again = kafka.broker.up()

        assert not again.was_running
        assert again.status.state.bootstrap_servers == kafka.bootstrap_servers
        assert again.status.pids != status.pids
        assert topic in await topics(kafka.bootstrap_servers)


async def test_kept_data_are_there_after_the_next_up(folder: Path) -> None:
    with running_kafka(folder, SMALL) as kafka:
        topic = await kafka.create_topic("kept")
        kafka.broker.down(keep_data=True)
        assert kafka.broker.status() is None
        assert kafka.broker.up().status.state.bootstrap_servers == kafka.bootstrap_servers
        assert topic in await topics(kafka.bootstrap_servers)


def test_down_removes_everything_of_its_own_and_nothing_else(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with running_kafka(folder, SMALL) as kafka:
        status = kafka.broker.status()
    assert status is not None
    assert not any(is_alive(pid) for pid in status.pids)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_stale_pid_of_another_process_is_never_signalled(folder: Path) -> None:
    node = folder / "node-1"
    node.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (node / "pid").write_text(f"{bystander.pid}\n")
        (node / "lock").touch()
        assert DevBroker(folder).status() is None
        assert not DevBroker(folder).down().was_running
        assert bystander.poll() is None
        bystander.communicate(b"\n")
    assert bystander.returncode == 0


async def test_the_users_properties_are_the_brokers(folder: Path) -> None:
    options = BrokerOptions(heap_mb=256, properties={"message.max.bytes": "54321"})
    with running_kafka(folder, options) as kafka:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        try:
            answers = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
        finally:
            await admin.close()
    values = {entry[0]: entry[1] for entry in answers[0].resources[0][4]}
    assert values["message.max.bytes"] == "54321"
    assert values["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("num.io.threads", "-3", id="refused before the start"),
        pytest.param("authorizer.class.name", "no.such.Class", id="refused at the start"),
    ],
)
def test_a_property_that_kafka_refuses_is_told_and_nothing_is_left(
    folder: Path, name: str, value: str
) -> None:
    with pytest.raises(StartError, match=value):
        DevBroker(folder, BrokerOptions(properties={name: value})).up()
    assert kafka_processes(folder) == []
    assert not folder.exists()


def test_a_broker_that_is_not_ready_in_time_is_taken_down(folder: Path) -> None:
    with pytest.raises(StartError, match=r"not ready within 0\.1 s"):
        DevBroker(folder, SMALL).up(timeout_seconds=0.1)
    assert kafka_processes(folder) == []
    assert not folder.exists()


def test_a_running_broker_does_not_take_other_options(folder: Path) -> None:
    with (
        running_kafka(folder, SMALL) as kafka,
        pytest.raises(ConfigurationError, match=f"{kafka.bootstrap_servers}.*heap_mb"),
    ):
        DevBroker(folder, BrokerOptions(heap_mb=300)).up()


def test_a_port_in_use_leaves_nothing(folder: Path, kafka: Kafka) -> None:
    port = int(kafka.bootstrap_servers.rpartition(":")[2])
    with pytest.raises(PortInUseError, match=str(port)):
        DevBroker(folder, BrokerOptions(port=port)).up()
    assert not folder.exists()


async def test_three_nodes_hold_three_copies_also_where_no_number_is_given(folder: Path) -> None:
    with running_kafka(folder, BrokerOptions(nodes=3, heap_mb=256)) as kafka:
        topic = await kafka.create_topic("copied", replication_factor=3)
        own = KafkaBroker(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)).admin()
        await own.start()
        try:
            await own.create_topics([TopicSpec("by-default", 1)])
            described = await own.describe_topics(["by-default"])
        finally:
            await own.stop()
        assert described["by-default"].replication_factor == 3
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        try:
            async with within(30, f"the node to hear of {topic}"):
                # A node that was not asked to create it hears of it a little later.
                while not (  # noqa: ASYNC110 - no broker tells when
                    partitions := (await admin.describe_topics([topic]))[0]["partitions"]
                ):
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()
    assert sorted(partitions[0]["replicas"]) == [1, 2, 3]


async def test_a_sasl_listener_takes_its_users_only(folder: Path) -> None:
    jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    options = BrokerOptions(
        heap_mb=256,
        listeners={"USERS": "SASL_PLAINTEXT"},
        scram_users={"alice": "right"},
        properties={
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.users.scram-sha-256.sasl.jaas.config": jaas,
        },
    )

    async def connect(password: str) -> None:
        admin = AIOKafkaAdminClient(
            bootstrap_servers=kafka.listeners["USERS"],
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-256",
            sasl_plain_username="alice",
            sasl_plain_password=password,
        )
        try:
            await admin.start()
            await admin.list_topics()
        finally:
            await admin.close()

    with running_kafka(folder, options) as kafka:
        await connect("right")
        with pytest.raises(KafkaError):
            await connect("wrong")


_OWNER = """
import pathlib, sys
from tests.kafka import running_kafka
with running_kafka(pathlib.Path(sys.argv[1])) as kafka:
    print(*kafka.broker.status().pids, flush=True)
    input()
"""


def test_a_tests_broker_goes_when_the_test_process_is_killed(folder: Path) -> None:
    with subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.kill()
    assert until(lambda: not is_alive(pid))
    assert until(lambda: not folder.exists())
