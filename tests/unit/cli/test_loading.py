import json
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from streamapp.cli.loading import load_pipeline
from streamapp.errors import ConfigurationError, PipelineError
from streamapp.pipeline.topology import build

SOURCE = """
from pydantic import BaseModel
from streamapp.pipeline.agent import agent
from streamapp.pipeline.pipeline import Pipeline
from streamapp.topics.topic import Topic

class Given(BaseModel): x: int
class Made(BaseModel): y: int

@agent
def make(value: Given) -> Made: return Made(y=value.x)

@agent
def other(value: Given) -> Made: return Made(y=value.x)

def takes(x): return x
def raises(): raise LookupError("no such plan\\nsecond line")
def gives_none(): return None

start = Pipeline("p", source=Topic("in", Given)).stage(make)
mismatch = start.stage(other).sink("out")
good = start.sink("out")
number = 3
def factory(): return good
def wrong(): return Pipeline("p", source=Topic("in", Given)).stage(takes)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a module in the current directory, with these pipelines and other things."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    name = f"mine_{uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    yield name
    for loaded in [key for key in sys.modules if key.startswith(name)]:
        del sys.modules[loaded]


@pytest.mark.parametrize("attribute", ["good", "factory"])
def test_a_pipeline_is_found_in_the_current_directory(module: str, attribute: str) -> None:
    assert load_pipeline(f"{module}:{attribute}").name == "p"


@pytest.mark.parametrize(
    ("attribute", "sentence"),
    [
        ("missing", "has no 'missing'; its pipelines are: start, mismatch, good"),
        ("number", "is of type int, not a Pipeline"),
        ("Given", "is the class Given, not a Pipeline"),
        ("make", "is of type Agent, not a Pipeline"),
        ("takes", "takes arguments; give a function that needs none"),
        ("gives_none", "is None, not a Pipeline"),
        ("raises", r"failed with LookupError: no such plan \(.*, line 17\)"),
    ],
)
def test_what_is_no_pipeline_is_told(module: str, attribute: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as told:
        load_pipeline(f"{module}:{attribute}")
    assert "\n" not in str(told.value)


def test_a_declaration_that_is_wrong_speaks_for_itself(module: str) -> None:
    with pytest.raises(PipelineError, match="decorate it with @agent"):
        load_pipeline(f"{module}:wrong")


@pytest.mark.parametrize(
    ("attribute", "sentence"),
    [
        ("start", "the outputs of the last stage 'make' go nowhere"),
        ("mismatch", "stage 'other' takes Given, but stage 'make' gives Made"),
    ],
)
def test_a_pipeline_that_does_not_build_is_told(module: str, attribute: str, sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        build(load_pipeline(f"{module}:{attribute}"))


@pytest.mark.parametrize("target", ["", "mine", "mine:", ":x", "a b:c", "mine:x.y", "1:x"])
def test_what_does_not_name_a_pipeline_is_refused(target: str) -> None:
    with pytest.raises(ConfigurationError, match="give MODULE:PIPELINE"):
        load_pipeline(target)


@pytest.mark.parametrize(
    ("target", "suggested"),
    [
        ("{module}.py:good", "here {module}:good"),
        ("./{module}.py:good", "here {module}:good"),
        ("{here}/{module}.py:good", "here {module}:good"),
        ("folder/mine.py:good", "here folder.mine:good"),
        ("{module}", "one of {module}:start, {module}:mismatch, {module}:good"),
        ("{module}.py", "one of {module}:start, {module}:mismatch, {module}:good"),
        ("nowhere_at_all", "such as streamapp.examples.playback.pipeline:pipeline"),
        ("{module}_one", "here {module}_one:only"),
        ("./{module}_one.py", "here {module}_one:only"),
    ],
)
def test_a_target_that_is_almost_right_is_answered_with_the_right_one(
    module: str, target: str, suggested: str
) -> None:
    Path(f"{module}_one.py").write_text(f"from {module} import good as only")
    with pytest.raises(ConfigurationError) as told:
        load_pipeline(target.format(module=module, here=Path.cwd()))
    assert f"give MODULE:PIPELINE, {suggested.format(module=module)}" in str(told.value)


PIPELINE = {"source": "in", "sink": "out", "stages": [{"agent": "batch_processor"}]}


@pytest.mark.parametrize("ending", ["", "#", ":clean", ":"])
def test_a_file_without_a_name_is_answered_with_the_names_in_it(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "mine.json"
    declared = {"clean": PIPELINE, "b": {**PIPELINE, "bundle": "all"}}
    path.write_text(json.dumps({"data_pipelines": declared}))
    with pytest.raises(ConfigurationError) as told:
        load_pipeline(f"{path}{ending}")
    names = f"{path}#all, {path}#b, {path}#clean"
    assert str(told.value).endswith(
        f"does not name a pipeline; give FILE.json#NAME, one of {names}"
    )
    path.write_text(json.dumps({"data_pipelines": {"clean": PIPELINE}}))
    with pytest.raises(ConfigurationError, match=f"give FILE.json#NAME, here {path}#clean$"):
        load_pipeline(f"{path}{ending}")
    path.write_text("{}")
    with pytest.raises(ConfigurationError, match="declares no pipelines"):
        load_pipeline(f"{path}{ending}")


def test_a_file_that_is_not_there_or_wrong_is_told_before_its_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(ConfigurationError, match=f"there is no file {path}"):
        load_pipeline(str(path))
    path.write_text("{")
    with pytest.raises(ConfigurationError, match=f"{path}:1:2: "):
        load_pipeline(str(path))


@pytest.mark.parametrize("name", ["nowhere_at_all", "nowhere_at_all.inside", "streamapp.nowhere"])
def test_a_module_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no module '.*nowhere"):
        load_pipeline(f"{name}:pipeline")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import nowhere_at_all", "imports 'nowhere_at_all', which is not installed"),
        ("def (", r"is not valid Python: invalid syntax \(.*, line 1\)"),
        ("\nx = 1 / 0", r"failed with ZeroDivisionError: division by zero \(.*, line 2\)"),
        ("import streamapp\nstreamapp.retry(-1)", r"but is -1 \(.*mine_\w*\.py, line 2\)"),
        (
            "import streamapp\nstreamapp.StageConfig(concurency=1)",
            r"concurency: .* \(.*mine_\w*\.py, line 2\)",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_the_place(
    module: str, source: str, sentence: str
) -> None:
    Path(f"{module}.py").write_text(source)
    with pytest.raises(ConfigurationError, match=sentence):
        load_pipeline(f"{module}:pipeline")
