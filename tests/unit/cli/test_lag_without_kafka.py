"""`streamapp lag --why` while Kafka does not answer: the services still say why."""

import json
import socket

import pytest

from streamapp.clock import SystemClock
from tests.unit.cli.commands import run
from tests.unit.cli.test_status import save, served

pytestmark = pytest.mark.usefixtures("folder")


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_services_know_is_told_before_the_refusal(output: str) -> None:
    with served(rebalances=1, cut_off_since=SystemClock().monotonic() - 20) as url:
        save(1, web_url=url)
        done = run(f"lag --why --bootstrap-servers {nobody()} --output {output}")
    assert done.exit_code != 0
    if output == "json":
        told = json.loads(done.stdout)
        assert told["groups"] is None  # unknown, which is not empty
        assert [one["cause"] for one in told["findings"]] == ["broker_unreachable"]
    else:
        assert "orders.check: unknown: broker_unreachable" in done.stdout
