"""Agents of a package that is built and installed by itself are found, assembled and run."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.cli import ROOT
from tests.kafka import Kafka, unique_name
from tests.project import Project

PACKAGE = {
    "shop_agents/__init__.py": "",
    "shop_agents/agents.py": """
from typing import Any

from pydantic import BaseModel
from streamapp import Capability, agent


class Cleaner:
    '''Takes a word out of titles.'''

    capabilities = (Capability.DATA_TRANSFORMATION,)

    class Configuration(BaseModel):
        word: str = "the "

    def __init__(self, configuration: Configuration) -> None:
        self.word = configuration.word

    async def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "title": value["title"].removeprefix(self.word)}


@agent(capabilities=[Capability.DATA_ENRICHMENT])
def shout(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "title": value["title"].upper()}
""",
    "shop_agents-1.2.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: shop-agents\nVersion: 1.2\nRequires-Dist: streamapp\n"
    ),
    "shop_agents-1.2.dist-info/WHEEL": (
        "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "shop_agents-1.2.dist-info/entry_points.txt": (
        "[streamapp.agents]\n"
        "cleaner = shop_agents.agents:Cleaner\n"
        "shouter = shop_agents.agents:shout\n"
        "gone = shop_agents.agents:Gone\n"
    ),
}
PARTITIONS = 4
RECORD = "shop_agents-1.2.dist-info/RECORD"

MINE = """
from streamapp import AgentRegistry, assemble, register_entry_points

registry = AgentRegistry(["shop_agents"])
found = {{one.name: one for one in register_entry_points(registry)}}
assert found["cleaner"].package == "shop-agents 1.2", found
assert "has no 'Gone'" in found["gone"].fault, found

pipeline = assemble(
    registry,
    "{name}",
    ["data_transformation", "data_enrichment"],
    source="{name}.raw",
    sink="{name}.out",
).pipeline
"""


def build_wheel(folder: Path) -> Path:
    """A wheel as the specification of binary distributions says; building needs no network so."""
    path = folder / "shop_agents-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        lines = []
        for name, text in PACKAGE.items():
            wheel.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            lines.append(f"{name},sha256={digest.rstrip(b'=').decode()},{len(text.encode())}\n")
        wheel.writestr(RECORD, "".join([*lines, f"{RECORD},,\n"]))
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed; nothing of it is in this process."""
    folder = tmp_path_factory.mktemp("installed")
    target = folder / "site-packages"
    done = subprocess.run(  # noqa: S603 - the installer of this interpreter
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
            *("--no-warn-conflicts", "--target", target, build_wheel(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


async def test_agents_of_an_installed_package_run_on_kafka(
    installed: Path, kafka: Kafka, tmp_path: Path
) -> None:
    name = unique_name("installed")
    (tmp_path / "mine.py").write_text(MINE.format(name=name))
    project = Project(name, tmp_path, kafka)
    path = os.pathsep.join([str(installed), str(ROOT)])
    applied = project.streamapp("topics", "apply", "mine:pipeline", PYTHONPATH=path)
    assert applied.returncode == 0, applied.stderr
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    for number in range(20):
        await producer.send(f"{name}.raw", b'{"title": "the film %d"}' % number, key=b"k")
    await producer.stop()
    ran = project.streamapp(
        "run", "mine:pipeline", "--until-end", "--web-port", "0", PYTHONPATH=path
    )
    assert ran.returncode == 0, ran.stderr
    titles = [record.value for record in await project.read("out", PARTITIONS)]
    assert titles == [b'{"title":"FILM %d"}' % number for number in range(20)]
