"""The broker of a benchmark, and the description of the machine."""

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from streamapp.local_kafka.broker import BrokerStatus, DevBroker
from streamapp.local_kafka.config import BrokerOptions
from streamapp.local_kafka.watchdog import Watchdog
from streamapp.native_leaves import SELECTED

HEAP_MB = 1024


@contextmanager
def broker() -> Iterator[str]:
    """A development broker on free ports, removed afterwards; its address."""
    with broker_status() as status:
        yield status.state.bootstrap_servers


@contextmanager
def broker_status() -> Iterator[BrokerStatus]:
    """The same, with its process ids."""
    with tempfile.TemporaryDirectory(prefix="streamapp-bench-") as folder:
        node = DevBroker(Path(folder) / "kafka", BrokerOptions(heap_mb=HEAP_MB), report=print)
        guard = Watchdog(node.folder)
        try:
            yield node.up().status
        finally:
            node.down()
            guard.dismiss()


def machine() -> dict[str, object]:
    """Description of the machine and the versions."""
    packages = ["aiokafka", "pydantic", "pydantic-core", "orjson"]
    if SELECTED.is_native:
        packages.append("streamapp-native")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
