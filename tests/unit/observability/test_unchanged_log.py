"""A test gets the log of the process as it is without any command before it."""

import logging

from streamapp.observability.logs import configure_logging
from tests.log import unchanged_log


def test_what_a_command_does_to_the_log_ends_with_its_test() -> None:
    root = logging.getLogger()
    with unchanged_log():
        before = root.level
        configure_logging("CRITICAL")
        [ours] = root.handlers
    assert ours not in root.handlers
    assert root.level == before
