"""What the decorator makes of a function."""

from dataclasses import FrozenInstanceError

import pytest

from streamapp import Out, agent
from streamapp.errors import PipelineError
from streamapp.pipeline.capability import Capability
from streamapp.pipeline.out import KEEP


@agent
def says_more(text: str, times: int = 1) -> str:
    """Say it again.

    And again.
    """
    return text * times


@agent(name="shout", capabilities=[Capability.DATA_TRANSFORMATION])
def louder(text: str) -> str:
    return text.upper()


def test_an_agent_is_still_called_as_it_was_written() -> None:
    assert says_more("a") == "a"
    assert says_more("a", 2) == "aa"
    assert says_more("a", times=3) == "aaa"


def test_an_agent_takes_name_and_description_from_its_function() -> None:
    assert (says_more.name, says_more.description) == ("says-more", "Say it again.")
    assert not says_more.capabilities
    assert not says_more.blocking
    assert says_more.lifecycle is None


def test_an_agent_has_the_name_and_capabilities_that_it_is_given() -> None:
    assert (louder.name, louder.description) == ("shout", "")
    assert louder.capabilities == {Capability.DATA_TRANSFORMATION}


def test_an_agent_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        louder.name = "other"  # type: ignore[misc]  # the point of the test


def test_an_output_keeps_key_and_headers_of_its_input_unless_it_is_told_others() -> None:
    out = Out(5)
    assert (out.key, out.headers, out.to) == (KEEP, KEEP, None)


def test_an_agent_is_made_no_agent_again() -> None:
    with pytest.raises(PipelineError, match="is already an agent; give it as it is, or drop one"):
        agent(name="other")(agent(name="one", input_type=str, output_type=str)(str.upper))
