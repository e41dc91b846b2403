"""What the Dockerfiles say, without Docker: what they copy is installed, and run as they run it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli import ROOT
from tests.kafka import Kafka

pytestmark = pytest.mark.kafka

BASE = ROOT / "Dockerfile"
OWN = ROOT / "deploy" / "image" / "Dockerfile"
STATE = "/var/lib/streamapp"
PAGE = (ROOT / "docs" / "how-to" / "deploy.md").read_text()

PIPELINES = """
from streamapp import Pipeline, Topic, agent


@agent
def price(order: dict[str, int]) -> dict[str, int]:
    return order | {"price": 10 * order["pieces"]}


orders = Pipeline("orders", source=Topic("orders.raw", dict[str, int])).stage(price)
orders = orders.sink("orders.priced")
"""
TOPICS = (
    "topics:\n  - {name: orders.raw, partitions: 1}\n  - {name: orders.priced, partitions: 1}\n"
)

# Written by the interpreter itself, however the file is opened.
TELLS_WRITES = """
import os, sys

def told(event, arguments):
    writes = event == "open" and isinstance(arguments[0], (str, bytes)) and (
        arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if writes or event in ("os.mkdir", "os.rename", "os.remove"):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        os.write(2, f"writes {path}\\n".encode())

sys.addaudithook(told)
"""


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions, each with what follows it."""
    text = dockerfile.read_text().replace("\\\n", "")
    return re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE)


def instructions(dockerfile: Path, name: str) -> list[str]:
    """What follows an instruction, each time that it occurs."""
    return [given for instruction, given in steps(dockerfile) if instruction == name]


@dataclass(frozen=True, slots=True)
class Image:
    """What a container would have: installed packages, the working directory, variables.

    Attributes:
        app: the working directory, which nobody can write to.
        state: the state folder, which belongs to the container's user.
        variables: those of the Dockerfiles.
    """

    app: Path
    state: Path
    variables: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the entry point as the user of the image, without a home folder."""
        return subprocess.run(  # noqa: S603 - this interpreter
            [*as_user_of_the_image(), sys.executable, "-m", "streamapp", *arguments],
            cwd=self.app,
            env={"PATH": os.environ["PATH"], **self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def apply_topics(self, variables: Mapping[str, str]) -> None:
        """Create the declared topics and those that the pipeline needs."""
        for target in ((), ("shop.pipelines:orders",)):
            done = self.run("topics", "apply", *target, **variables)
            assert done.returncode == 0, done.stderr


def as_user_of_the_image() -> list[str]:
    """Before a command: makes it run as the image's user; nothing where we are not root anyway.

    It may read everything, since the interpreter of a test can lie in root's home folder.
    """
    if os.geteuid():
        return []
    [user] = instructions(BASE, "USER")
    uid, gid = user.split(":")
    reads = [f"--{kind}-caps=-all,+dac_read_search" for kind in ("inh", "ambient")]
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *reads]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Both Dockerfiles, followed."""
    folder = tmp_path_factory.mktemp("image")
    folder.parent.chmod(0o755)
    folder.parent.parent.chmod(0o755)
    folder.chmod(0o755)
    site, state = folder / "site", folder / "state"
    context = own_context(folder / "context")
    for path in (site, state):
        path.mkdir()
    follow(BASE, ROOT, folder, site)
    app = follow(OWN, context, folder, site)
    (site / "sitecustomize.py").write_text(TELLS_WRITES)
    if not os.geteuid():
        os.chown(state, 10001, 10001)
    app.chmod(0o555)
    pairs = (pair for line in instructions(BASE, "ENV") for pair in shlex.split(line))
    variables = dict(pair.split("=", 1) for pair in pairs)
    assert variables["STREAMAPP_STATE_FOLDER"] == STATE
    variables |= {"STREAMAPP_STATE_FOLDER": str(state), "PYTHONPATH": str(site)}
    return Image(app, state, variables)


def own_context(folder: Path) -> Path:
    """The files that the page on deployment tells to have."""
    project = re.search(r"^```ini\n(\[build-system\].*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert project is not None
    files = {
        "pyproject.toml": project[1],
        "shop/__init__.py": "",
        "shop/pipelines.py": PIPELINES,
        "topics/orders.yaml": TOPICS,
    }
    for name, text in files.items():
        assert name in PAGE
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def follow(dockerfile: Path, context: Path, root: Path, site: Path) -> Path:
    """Do what WORKDIR, COPY and `pip install` say; returns the working directory at the end."""
    app = root
    for instruction, given in steps(dockerfile):
        if instruction == "WORKDIR":
            app = root / given.lstrip("/")
            app.mkdir()
        elif instruction == "COPY":
            copy(given, context, app)
        elif "pip install" in given:
            [constraints] = re.findall(r"--constraint (\S+)", given)
            assert (root / constraints[1:] if constraints[0] == "/" else app / constraints).exists()
            install(app, site)
    return app


def copy(given: str, context: Path, app: Path) -> None:
    """Copy as COPY does, into what is there; no code that was compiled before."""
    *sources, target = given.split()
    for source in sources:
        if (context / source).is_dir():
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(context / source, app / target, ignore=without, dirs_exist_ok=True)
        else:
            shutil.copy(context / source, app / target)


def install(app: Path, site: Path) -> None:
    """`pip install .` into a folder; what it depends on is installed already."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    quiet = ["--disable-pip-version-check", "--upgrade", str(app)]
    subprocess.run([*pip, *quiet], check=True)  # noqa: S603 - this interpreter


def test_the_page_shows_the_dockerfile() -> None:
    assert f"```\n{OWN.read_text()}```" in PAGE


def test_both_images_end_with_the_user_that_is_not_root() -> None:
    assert instructions(BASE, "USER")[-1] == instructions(OWN, "USER")[-1] == "10001:10001"


def test_installed_code_of_a_user_runs_as_nobody_on_a_read_only_file_system(
    image: Image, kafka: Kafka
) -> None:
    servers = {"STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    image.apply_topics(servers)
    listed = image.run("topics", "list", **servers).stdout
    assert "orders.raw" in listed
    assert "playback.raw" not in listed
    [command] = instructions(OWN, "CMD")
    words = re.findall(r'"([^"]+)"', command)
    done = image.run(*words, "--until-end", "--no-web", **servers)
    assert done.returncode == 0, done.stderr
    written = set(re.findall(r"^writes (.+)$", done.stderr, re.MULTILINE)) - {"/dev/null"}
    assert written
    assert [path for path in written if not path.startswith(str(image.state))] == []


def test_without_a_folder_to_write_to_it_runs_all_the_same(image: Image, kafka: Kafka) -> None:
    servers = {"STREAMAPP_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    image.apply_topics(servers)
    nowhere = {"STREAMAPP_STATE_FOLDER": str(image.app / "state")}
    run = ("run", "shop.pipelines:orders", "--until-end", "--no-web")
    done = image.run(*run, **servers, **nowhere)
    assert done.returncode == 0, done.stderr
    assert "this run is not kept for `streamapp status`" in done.stderr
