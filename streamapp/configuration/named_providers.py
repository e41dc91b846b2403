"""Puts providers in the place of their names, wherever a file configures an agent."""

from collections.abc import Callable, Mapping
from typing import Any

from streamapp.configuration.secrets import Path
from streamapp.configuration.sections import Provider
from streamapp.registry.nearest import did_you_mean

_DEEPEST = 64
"""No deeper than a file may be nested."""


class NamedProviders:
    """The providers of a file, by their names.

    Args:
        providers: the providers; `None` for one that has a fault.
        refuse: told of each name that is none, with its place.
        depend_on_wrong: the agents and pipelines that name a provider with a fault are added here.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider | None],
        refuse: Callable[[Path, str], None],
        depend_on_wrong: set[Path],
    ) -> None:
        self._providers = providers
        self._refuse = refuse
        self._depend_on_wrong = depend_on_wrong

    def put_into(self, where: Path, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a configuration, with the provider that they name.

        Args:
            where: where they stand.
            values: the values.
        """
        name = values.get("provider")
        if not isinstance(name, str):
            return dict(values)
        others = {key: value for key, value in values.items() if key != "provider"}
        if name not in self._providers:
            told = f"there is no provider {name!r}; {did_you_mean(name, self._providers)}"
            self._refuse((*where, "provider"), told)
            return others
        provider = self._providers[name]
        if provider is None:  # it has a fault of its own, which is told
            self._depend_on_wrong.add(where[:2])
            return others
        return {**others, "provider": provider.as_configuration()}

    def put_into_stages(self, where: Path, fields: Any) -> Any:
        """The fields of a pipeline, with the providers that its stages and their agents name.

        Args:
            where: where it is declared.
            fields: its fields, which may be wrong.
        """
        if not isinstance(fields, dict) or not isinstance(fields.get("stages"), list):
            return fields
        stages = [
            self._of_composition((*where, "stages", place), stage, _DEEPEST)
            for place, stage in enumerate(fields["stages"])
        ]
        return {**fields, "stages": stages}

    def _of_composition(self, where: Path, value: Any, depth: int) -> Any:
        """A stage or a part of a composition; configurations stand beside `agent`."""
        if depth == 0:
            return value
        if isinstance(value, list):
            return [
                self._of_composition((*where, place), one, depth - 1)
                for place, one in enumerate(value)
            ]
        if not isinstance(value, dict):
            return value
        return {
            name: self._of_field((*where, name), name, one, depth, beside="agent" in value)
            for name, one in value.items()
        }

    def _of_field(self, where: Path, name: str, value: Any, depth: int, *, beside: bool) -> Any:
        if name == "configuration" and beside and isinstance(value, dict):
            return self.put_into(where, value)
        if name == "parallel" and isinstance(value, dict):  # its names are those of fields
            return {
                field: self._of_composition((*where, field), one, depth - 1)
                for field, one in value.items()
            }
        return self._of_composition(where, value, depth - 1) if name in _HAVE_PARTS else value


_HAVE_PARTS = ("agent", "branch", "chain", "choose", "fallback", "otherwise", "pool")
"""Fields in which agents stand."""
