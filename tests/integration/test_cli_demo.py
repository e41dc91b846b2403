"""`streamapp demo` as a newcomer runs it."""

import re
import signal
import socket
from pathlib import Path
from urllib.request import urlopen

from streamapp.cli.exit_codes import ExitCode
from tests.cli import running, streamapp


def figure(output: str, pattern: str) -> int:
    """The number in front of these words."""
    found = re.search(rf"([\d,]+) +{pattern}", output)
    assert found, output
    return int(found[1].replace(",", ""))


def assert_accounted_for(output: str) -> int:
    """Hold the figures of a summary against one another; returns how many were generated."""
    generated = figure(output, "generated")
    assert f"Everything is accounted for: {generated:,} generated" in output
    assert generated == figure(output, "events read from playback.raw")
    letters = figure(output, "dead letters, kept")
    assert generated == figure(output, "scored, in playback.scored") + letters
    by_reason = figure(output, "validate, decode") + figure(output, "enrich, permanent")
    assert letters == by_reason
    return generated


def test_every_generated_record_is_accounted_for() -> None:
    done = streamapp("demo", "--records", "5000", "--web-port", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert assert_accounted_for(done.stdout) == 5_000


def test_an_outage_is_told_from_its_beginning_to_its_end_and_costs_no_record() -> None:
    done = streamapp("demo", "--outage", "--records", "4000", "--web-port", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert assert_accounted_for(done.stdout) == 4_000
    told = (
        r"The title catalogue goes down now, for 6 seconds\.",
        r"  enrich holds its records, because in stage 'enrich' [^\n]*, now with ConnectionError\.",
        r"  held for [\d.]+ s: [\d,]+ records? in flight, \d+ probes?; the next is in [\d.]+ s",
        r"The title catalogue is back",
        r"  enrich goes on with its records, which it held for [\d.]+ s: [1-9]\d* probes?, 0 dead ",
        r"Everything is accounted for",
        r"While the title catalogue was down, [^\n]* records were held for [\d.]+ s;\nnone of them",
    )
    assert re.search(".*".join(told), done.stdout, re.DOTALL), done.stdout


def test_without_an_outage_none_is_told() -> None:
    done = streamapp("demo", "--records", "100", "--web-port", "0")
    assert "catalogue" not in done.stdout


def test_with_a_topic_between_every_two_stages_it_comes_to_the_same() -> None:
    fused = streamapp("demo", "--records", "3000", "--web-port", "0")
    apart = streamapp("demo", "--records", "3000", "--web-port", "0", "--no-fused")
    assert (fused.returncode, apart.returncode) == (0, 0)
    for name in ("scored, in", "of these of poor quality", "validate, decode"):
        assert figure(fused.stdout, name) == figure(apart.stdout, name)


def test_seconds_end_it() -> None:
    done = streamapp("demo", "--seconds", "1", "--rate", "2000", "--web-port", "0")
    assert done.returncode == 0
    assert 0 < assert_accounted_for(done.stdout) <= 2_001


def test_metrics_and_health_can_be_read_while_it_runs_and_sigterm_ends_it_well(
    tmp_path: Path,
) -> None:
    with running(
        "demo", "--forever", "--web-port", "0", "--progress-seconds", "0.2", folder=tmp_path
    ) as demo:
        metrics = demo.wait_for("Metrics").split()[-1]
        demo.wait_for("route: running")
        with urlopen(metrics, timeout=10) as answer:  # noqa: S310 - our own address
            body = answer.read().decode()
        for path in ("healthz", "readyz"):
            address = metrics.replace("metrics", path)
            with urlopen(address, timeout=10) as answer:  # noqa: S310 - our own address
                assert answer.status == 200
        index = metrics.replace("metrics", "")
        with urlopen(index, timeout=10) as answer:  # noqa: S310 - our own address
            page = answer.read().decode()
        demo.send(signal.SIGTERM)
        assert demo.exit_code() == 0
        assert_accounted_for(demo.stdout)
    for stage in ("validate", "enrich", "score", "route"):
        assert re.search(rf'streamapp_received_records_total{{.*stage="{stage}"', body)
        assert f'<p class="title"><b>{stage}</b>' in page


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running("demo", "--forever", "--web-port", "0", folder=tmp_path) as demo:
        demo.wait_for("Metrics")
        demo.send(signal.SIGINT)
        demo.send(signal.SIGTERM)
        assert demo.exit_code() == ExitCode.ABANDONED
        assert "ended at once" in demo.stderr


def test_without_a_port_asked_for_a_taken_one_gives_way_to_a_free_one() -> None:
    with socket.socket() as taken:
        # Whoever has the default port: we, or somebody else.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 9464))
            taken.listen()
        except OSError:
            pass
        done = streamapp("demo", "--records", "100")
    assert done.returncode == 0
    assert "Port 9464 is in use; listening on port " in done.stdout


def test_the_port_can_come_from_the_environment() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = streamapp("demo", "--records", "100", env={"STREAMAPP_WEB_PORT": str(port)})
    assert done.returncode == ExitCode.PORT_IN_USE
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = streamapp("demo", "--records", "100", "--web-port", str(port))
    assert done.returncode == ExitCode.PORT_IN_USE
    assert done.stdout == ""
    assert done.stderr.startswith(f"streamapp: port {port} on 127.0.0.1 is in use")
    assert len(done.stderr.splitlines()) == 1
