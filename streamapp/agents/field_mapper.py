"""Makes objects of the fields of others: chosen, renamed, moved, cast."""

from copy import deepcopy
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from streamapp.agents.casts import Cast, cast
from streamapp.agents.configuration import AgentConfiguration
from streamapp.agents.kinds import MISSING, UnfitError
from streamapp.agents.paths import PathText, path
from streamapp.agents.targets import TargetText, put, require_apart, target
from streamapp.errors import Permanent
from streamapp.pipeline.capability import Capability


class Others(StrEnum):
    """What becomes of the fields of the input that nothing is said about."""

    KEEP = "keep"  # they are in the output
    DROP = "drop"  # they are not


class FieldSource(AgentConfiguration):
    """Where a field of the output comes from.

    Attributes:
        from_: `from` in files: path in the input. One that may find several values gives a list.
        value: a value that is always the same, in place of a path.
        cast: form that the value must take; each value, if there are several.
        default: value if the path finds nothing; `null` that was found is not nothing.
        optional: leave the field out if the path finds nothing.
    """

    from_: PathText | None = Field(default=None, alias="from")
    value: JsonValue = None
    cast: Cast | None = None
    default: JsonValue = None
    optional: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = self.model_fields_set
        if ("from_" in given) == ("value" in given):
            raise ValueError("give either a path as 'from', or a 'value'")
        if "value" in given and given != {"value"}:
            raise ValueError("a 'value' needs no other settings")
        if self.optional and "default" in given:
            raise ValueError("a field with a default is never left out; drop 'optional'")
        return self

    @property
    def has_default(self) -> bool:
        """Whether a default was given, be it `null`."""
        return "default" in self.model_fields_set


def _from_path(given: object) -> object:
    return {"from": given} if isinstance(given, str) else given


_Source = Annotated[
    FieldSource, BeforeValidator(_from_path, json_schema_input_type=FieldSource | str)
]


class FieldMapperConfiguration(AgentConfiguration):
    """Configuration of a `FieldMapper`.

    Attributes:
        fields: places in the output, such as `user.name`, each with a path in the input, or with a
            `FieldSource`.
        rename: names of fields and their new names; what is renamed has to be there.
        remove: names of fields that the output has not.
        others: whether all other fields of the input are kept or dropped.
    """

    fields: dict[TargetText, _Source] = Field(default_factory=dict)
    rename: dict[str, str] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()
    others: Others = Others.KEEP

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.fields or self.rename or self.remove):
            raise ValueError("nothing is to be done; give 'fields', 'rename' or 'remove'")
        require_apart([*map(target, self.fields), *((new,) for new in self.rename.values())])
        if both := sorted({*self.remove} & {*self.rename}):
            raise ValueError(f"{both[0]!r} is both renamed and removed")
        return self


class FieldMapper:
    """Makes an object of the fields of another one.

    All paths are looked up in the input; the order of the settings changes nothing.

    Raises:
        Permanent: a path finds nothing, a value does not fit its cast, a field to rename is not
            there or would overwrite another one.
    """

    capabilities = (Capability.DATA_TRANSFORMATION,)
    Configuration = FieldMapperConfiguration

    def __init__(self, configuration: FieldMapperConfiguration) -> None:
        self._rename = configuration.rename
        self._left_out = {*configuration.remove, *configuration.rename}
        self._keeps_others = configuration.others is Others.KEEP
        self._fields = [
            (target(place), _Field(place, source)) for place, source in configuration.fields.items()
        ]

    def __call__(self, value: dict[str, Any]) -> dict[str, Any]:
        """Make the output of an object."""
        output: dict[str, Any] = {}
        if self._keeps_others:
            output = {name: one for name, one in value.items() if name not in self._left_out}
        for old, new in self._rename.items():
            if old not in value:
                raise Permanent(f"{old}: the field is missing and cannot be renamed")
            if new in output:
                raise Permanent(f"{old}: its new name {new!r} is the name of another field")
            output[new] = value[old]
        for place, field in self._fields:
            found = field.of(value)
            if found is not MISSING:
                put(output, place, found)
        return output


class _Field:
    """Finds the value of one field of the output."""

    def __init__(self, place: str, source: FieldSource) -> None:
        self._place = place
        self._source = source
        self._path = path(source.from_) if source.from_ is not None else None

    def of(self, value: dict[str, Any]) -> Any:
        source = self._source
        if self._path is None:
            return deepcopy(source.value)
        to = source.cast
        if not self._path.is_singular:
            several = self._path.all(value)
            return several if to is None else [self._cast(one, to) for one in several]
        found = self._path.get(value)
        if found is MISSING:
            return self._of_nothing()
        return found if to is None else self._cast(found, to)

    def _of_nothing(self) -> Any:
        if self._source.has_default:
            return deepcopy(self._source.default)
        if self._source.optional:
            return MISSING
        raise Permanent(f"{self._source.from_}: it is missing, and {self._place} has no default")

    def _cast(self, value: Any, to: Cast) -> Any:
        try:
            return cast(value, to)
        except UnfitError as error:
            raise Permanent(f"{self._source.from_}: {error}, as {self._place} has to be") from error
