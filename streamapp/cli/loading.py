"""Imports the pipeline or bundle that `module:attribute` names."""

import importlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pydantic

import streamapp
from streamapp.cli.import_path import put_current_directory_first
from streamapp.configuration.sections import DataMonitoring
from streamapp.errors import ConfigurationError, StreamappError
from streamapp.pipeline.bundle import Bundle, build_bundle
from streamapp.pipeline.pipeline import Pipeline
from streamapp.pipeline.topology import Topology, build
from streamapp.policies.describe import describe
from streamapp.topics.declaration import DeclaredTopic

_LIBRARIES = tuple(str(Path(str(one.__file__)).parent) for one in (streamapp, pydantic, importlib))
"""Folders of code that is not the user's."""

_TARGET = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*)")

_OF_A_FILE = re.compile(r"(?P<file>.+\.json)(?:[:#].*)?")
"""A configuration file without the name of a pipeline, or with another sign before it."""

_DECLARED = re.compile(r"(?P<file>.+\.json)#(?P<name>.+)")


def monitoring_of(target: str, packages: Iterable[str] = ()) -> DataMonitoring:
    """What is measured of a target, as its configuration file says; it is not loaded.

    Raises:
        ConfigurationError: the file is wrong.
    """
    declared = declared_target(target)
    if declared is None:
        return DataMonitoring()
    from streamapp.cli.declared import declared_monitoring  # only files need it

    return declared_monitoring(declared[0], packages)


def configuration_file_of(target: str) -> Path | None:
    """The configuration file that a target names; `None` if it is a module."""
    declared = declared_target(target)
    return None if declared is None else declared[0]


def declared_target(target: str) -> tuple[Path, str] | None:
    """The file and the name of `file.json#name`; `None` if it is a module."""
    declared = _DECLARED.fullmatch(target)
    return None if declared is None else (Path(declared["file"]), declared["name"])


def load_topologies(target: str, packages: Iterable[str] = ()) -> tuple[Topology, ...]:
    """Load a target and check it: a pipeline, or those of a bundle.

    Raises:
        ConfigurationError: what is missing or wrong, and where.
    """
    found = load_target(target, packages)
    return build_bundle(found) if isinstance(found, Bundle) else (build(found),)


def topics_of(target: str) -> tuple[DeclaredTopic, ...]:
    """The topics that a pipeline of a configuration file declares; none of another target.

    Raises:
        ConfigurationError: the file is wrong.
    """
    declared = declared_target(target)
    if declared is None:
        return ()
    from streamapp.cli.declared import declared_topics  # only files need it

    return declared_topics(*declared)


def load_pipeline(target: str, packages: Iterable[str] = ()) -> Pipeline[Any, Any]:
    """Load a target that is a single pipeline.

    Raises:
        ConfigurationError: what is missing or wrong, and where; or it is a bundle.
    """
    found = load_target(target, packages)
    if isinstance(found, Bundle):
        raise ConfigurationError(
            f"{target} is a bundle of {len(found.pipelines)} pipelines; name one pipeline"
        )
    return found


def load_target(target: str, packages: Iterable[str] = ()) -> Pipeline[Any, Any] | Bundle:
    """Import what `module:attribute` names, or make the pipeline of `file.json#name`.

    The current directory comes first on the import path.

    Args:
        target: a pipeline of a configuration file; or the attribute is a `Pipeline` or a `Bundle`,
            or a function without arguments that returns one.
        packages: packages that a configuration file may import from, beside those that the
            environment allows.

    Raises:
        ConfigurationError: what is missing or wrong, and where.
    """
    if declared := declared_target(target):
        from streamapp.cli.declared import target_of  # only files need it

        return target_of(*declared, packages)
    parts = None if _OF_A_FILE.fullmatch(target) else _TARGET.fullmatch(target)
    # `mine.py` parses as a module `py` in a package `mine`; if it is a file, the file is meant.
    if parts is None or Path(parts["module"]).is_file():
        raise ConfigurationError(f"{target!r} does not name a pipeline; {_suggestion(target)}")
    module = _import(parts["module"])
    attribute = parts["attribute"]
    if not hasattr(module, attribute):
        raise ConfigurationError(
            f"module {module.__name__!r} has no {attribute!r}; {_pipelines_of(module)}"
        )
    found = getattr(module, attribute)
    if inspect.isroutine(found):
        found = _call_function(target, found)
    if not isinstance(found, Pipeline | Bundle):
        raise ConfigurationError(
            f"{target} is {_kind(found)}, not a Pipeline or a function that returns one;"
            f" {_pipelines_of(module)}"
        )
    return found


def _suggestion(target: str) -> str:
    """What to write instead: the module of a file, or the only pipeline of a module."""
    if found := _OF_A_FILE.fullmatch(target):
        from streamapp.cli.declared import names_in  # only files need it

        return names_in(Path(found["file"]))
    place, _, attribute = target.partition(":")
    module = _dotted(place)
    if not attribute and _TARGET.fullmatch(f"{module}:pipeline"):
        try:
            names = _pipeline_names(_import(module))
        except StreamappError:
            names = []  # the user sees the module's own error once the name is right
        if len(names) > 1:
            return f"give MODULE:PIPELINE, one of {', '.join(f'{module}:{n}' for n in names)}"
        attribute = "".join(names)
    dotted = f"{module}:{attribute}"
    if not _TARGET.fullmatch(dotted):
        dotted = "streamapp.examples.playback.pipeline:pipeline"
        return f"give MODULE:PIPELINE, such as {dotted}"
    return f"give MODULE:PIPELINE, here {dotted}"


def _dotted(place: str) -> str:
    """`./folder/mine.py` as `folder.mine`."""
    path = Path(place)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if path.suffix == ".py":
        path = path.with_suffix("")
    return ".".join(path.parts)


def _import(name: str) -> ModuleType:
    put_current_directory_first()
    try:
        return importlib.import_module(name)
    except StreamappError:
        raise  # the error already says which declaration in the module is wrong
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if name == missing or name.startswith(f"{missing}."):
            sentence = f"there is no module {missing!r}, neither in {Path.cwd()} nor installed"
        else:
            sentence = f"module {name!r} imports {missing!r}, which is not installed"
        raise ConfigurationError(sentence) from error
    except SyntaxError as error:
        raise ConfigurationError(
            f"module {name!r} is not valid Python: {error.msg}"
            f" ({error.filename}, line {error.lineno})"
        ) from error
    except Exception as error:
        raise _failure(f"importing {name}", error) from error


def _call_function(target: str, function: Callable[..., object]) -> object:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"{target} takes arguments; give a function that needs none, or a Pipeline"
        ) from error
    try:
        return function()
    except StreamappError:
        raise
    except Exception as error:
        raise _failure(f"calling {target}", error) from error


def _failure(doing: str, error: Exception) -> ConfigurationError:
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((one for one in reversed(frames) if _is_of_user(one.filename)), frames[-1])
    return ConfigurationError(
        f"{doing} failed with {type(error).__name__}: {describe(error)}"
        f" ({frame.filename}, line {frame.lineno})"
    )


def _is_of_user(file: str) -> bool:
    return not file.startswith((*_LIBRARIES, "<"))


def _pipelines_of(module: ModuleType) -> str:
    names = _pipeline_names(module)
    return f"its pipelines are: {', '.join(names)}" if names else "it holds no pipeline"


def _pipeline_names(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Pipeline)]


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"of type {type(value).__name__}"
