"""What is told of a failure's place."""

from streamapp.runtime.dead_letters import fingerprint, place_of


def test_the_place_of_an_error_that_was_made_and_not_raised_is_that_of_its_cause() -> None:
    try:
        int("x")
    except ValueError as cause:
        made = RuntimeError("made")
        made.__cause__ = cause
    assert place_of(made).endswith(
        ":test_the_place_of_an_error_that_was_made_and_not_raised_is_that_of_its_cause"
    )
    assert fingerprint("stage", made) != fingerprint("stage", RuntimeError("made"))


def test_an_error_without_any_place_has_none() -> None:
    assert not place_of(RuntimeError("made"))


def test_an_error_that_caused_itself_has_a_fingerprint() -> None:
    error, cause = RuntimeError("made"), ValueError("made")
    error.__cause__, cause.__cause__ = cause, error
    assert len(fingerprint("stage", error)) == 12


def test_ten_errors_of_a_chain_of_causes_make_the_fingerprint() -> None:
    found = [fingerprint("stage", chain(length)) for length in range(1, 13)]
    assert len(set(found)) == 10
    assert found[9] == found[10] == found[11]


def chain(length: int) -> Exception:
    error = RuntimeError("made")
    if length > 1:
        error.__cause__ = chain(length - 1)
    return error
