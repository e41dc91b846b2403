"""Notes on an error about those that came before it in the same attempt."""

from collections.abc import Sequence

from streamapp.policies.describe import describe


def with_notes(where: str, failures: Sequence[tuple[str, Exception]]) -> Exception:
    """The last error, with a note on each before it.

    Args:
        where: the combinator, such as `fallback 'a-else-b'`.
        failures: names of parts, and what they failed with.
    """
    beginning = f"{where}: before that, "
    error = failures[-1][1]
    # An agent may raise the same object each time, which would collect notes for ever.
    kept = [note for note in getattr(error, "__notes__", ()) if not note.startswith(beginning)]
    error.__notes__ = kept + [
        f"{beginning}{part!r} failed with {type(failure).__name__}: {describe(failure)}"
        for part, failure in failures[:-1]
    ]
    return error
