"""Copies of values, so that no part of an agent sees what another does to its value.

A copy is made in memory and not by way of JSON, because JSON leaves out what is not written:
excluded fields, private attributes, and the values between two parts need not be JSON at all.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from pydantic import BaseModel, TypeAdapter

from streamapp.immutable import is_immutable
from streamapp.pipeline.fits import bare


def copier_for(type_: Any) -> Callable[[Any], Any]:
    """How to copy values of a type; a value of a frozen model that nothing can change is shared."""
    class_ = bare(type_)
    if not (isinstance(class_, type) and issubclass(class_, BaseModel)):
        return deepcopy
    if not is_immutable(class_, TypeAdapter(class_)):
        return deepcopy
    return lambda value: value if type(value) is class_ else deepcopy(value)
