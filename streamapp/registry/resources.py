"""What the agents of a pipeline need together, and whether the machine has it."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamapp.registry.definition import ResourceRequirements

_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has.

    Attributes:
        memory_mb: memory in megabytes.
        cpu_cores: cores.
        storage_mb: free disk space in megabytes.
    """

    memory_mb: float
    cpu_cores: float
    storage_mb: float


def this_machine(folder: str = ".") -> Machine:
    """What this machine has: its memory, its cores, and the free space where a folder is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = shutil.disk_usage(folder).free
    return Machine(memory / _MB, os.cpu_count() or 1, free / _MB)


def added_up(each: Iterable[ResourceRequirements]) -> ResourceRequirements:
    """What agents need together, if one worker runs them all."""
    needs = list(each)
    return ResourceRequirements(
        memory_mb=sum(one.memory_mb for one in needs),
        cpu_cores=sum(one.cpu_cores for one in needs),
        storage=sum(one.storage for one in needs),
    )


def lacking(needs: ResourceRequirements, machine: Machine) -> Iterator[str]:
    """One sentence for each thing of which the machine has less than is needed."""
    for what, needed, has, unit in (
        ("memory", needs.memory_mb, machine.memory_mb, "MB"),
        ("cores", needs.cpu_cores, machine.cpu_cores, "cores"),
        ("disk space", needs.storage, machine.storage_mb, "MB"),
    ):
        if needed > has:
            yield f"{what}: its agents need {needed:g} {unit}, and the machine has {has:.6g}"
