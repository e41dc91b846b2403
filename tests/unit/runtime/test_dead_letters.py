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
