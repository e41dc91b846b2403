"""Options that several commands share, declared once as the fields of a dataclass."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of its dataclass parameters as options of its own.

    A field is declared as a parameter of a command is: `Annotated[..., typer.Option(...)]`, with
    its default. The command gets them together, as a value of the dataclass.
    """
    declared = signature(command)
    groups: dict[str, type[Any]] = {
        name: one.annotation
        for name, one in declared.parameters.items()
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }

    @wraps(command)
    def called(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{one.name: given.pop(one.name) for one in fields(group)})
        command(**given)

    parameters = [
        option
        for name, one in declared.parameters.items()
        for option in (_options(groups[name]) if name in groups else (one,))
    ]
    called.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by Typer
    return called


def _options(group: type[Any]) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for one in fields(group):
        yield Parameter(
            one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name]
        )
