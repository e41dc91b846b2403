"""Says why no dead letter was found: a name that none of them has, or what was done with them."""

from collections.abc import Iterator

from streamapp.letters.ledger import LetterState
from streamapp.letters.seen import Seen
from streamapp.letters.selection import Selection
from streamapp.registry.nearest import did_you_mean

MOST_SHOWN = 3
"""Of more fingerprints, the most frequent ones are named."""


def nothing_found(seen: Seen, selection: Selection) -> str:
    """The sentence in the place of letters, where there are none.

    Args:
        seen: what was read.
        selection: what was asked for.
    """
    if not seen.count:
        return "There are no dead letters."
    if unknown := " ".join(unknown_names(seen, selection)):
        return unknown
    if done := seen.states.total():
        return f"None is in a state that was asked for: of {done:,}, {_states(seen)}"
    return f"None of {seen.count:,} dead letters fits all that was asked for."


def unknown_names(seen: Seen, selection: Selection) -> Iterator[str]:
    """A sentence for each name that was asked for and that no letter has."""
    for option, asked, known in (
        ("pipeline", selection.pipelines, seen.pipelines),
        ("stage", selection.stages, seen.stages),
        ("reason", selection.reasons, seen.reasons),
    ):
        for name in asked:
            if name not in known:
                yield f"No dead letter has the {option} {name!r}; {_ended(known, name)}"
    for start in selection.fingerprints:
        if not any(one.startswith(start) for one in seen.fingerprints):
            most = ", ".join(name for name, _ in seen.fingerprints.most_common(MOST_SHOWN))
            yield f"No dead letter has a fingerprint that begins with {start!r}; there are {most}."


def _ended(known: dict[str, int], name: str) -> str:
    told = did_you_mean(name, known)
    return told if told.endswith("?") else f"{told}."


def _states(seen: Seen) -> str:
    states = seen.states
    parts = [
        f"{states[LetterState.OPEN]:,} are open",
        f"{states[LetterState.REPLAYED]:,} were replayed",
        f"{states[LetterState.DISCARDED]:,} discarded",
    ]
    if quarantined := states[LetterState.QUARANTINED]:
        parts.append(f"{quarantined:,} quarantined")
    told = f"{', '.join(parts)}; {seen.failed_again:,} are of records that failed again."
    return f"{told} `--state` shows those of another state."
