"""What is told of a failure without payload: the rule for all that `streamapp dlq` prints."""


def failure_text(error: str, place: str, message: str, *, show_payload: bool) -> str:
    """A failure in one line, such as `KeyError at levels.py:level_of`.

    The message of an error may quote the record that has failed, so it is told only if that is
    allowed; class and place never do.

    Args:
        error: class of the error.
        place: where it is: file and function, or fields of a value; may be empty.
        message: its message.
        show_payload: whether `--show-payload` was given.
    """
    where = f"{error} at {place}" if place else error
    return f"{where}: {message}" if show_payload and message else where
