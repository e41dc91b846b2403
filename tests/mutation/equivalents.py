"""Mutants that change nothing anybody could notice, named one by one with the reason."""

from pathlib import Path

EQUIVALENTS = Path(__file__).with_name("equivalents.txt")
_BETWEEN = "  ## "


def read_reasons(path: Path = EQUIVALENTS) -> dict[str, str]:
    """What a file says of mutants by name: why they are equivalent, or which test kills them.

    Raises:
        ValueError: a line has no reason.
    """
    reasons: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(_BETWEEN)
            if not reason.strip():
                raise ValueError(
                    f"{path.name}: {name!r} needs a reason behind {_BETWEEN.strip()!r}"
                )
            reasons[name.strip()] = reason.strip()
    return reasons
