"""Asks the broker of a worker what a Faust application has to know of its topics."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from streamapp.brokers.protocols import Admin, TopicDescription
from streamapp.errors import BrokerError

ASK_SECONDS = 10.0
"""How long the broker may take to answer."""


class Questions:
    """Makes a client for a few questions, and closes it.

    Args:
        name: id of the application, for errors.
        admin: makes a client.
    """

    def __init__(self, name: str, admin: Callable[[], Admin]) -> None:
        self._name = name
        self._admin = admin

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Admin]:
        """A client for a few questions.

        Raises:
            BrokerError: the broker cannot be reached, or does not answer in time.
        """
        admin = self._admin()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await admin.start()
                yield admin
        except TimeoutError as error:
            raise BrokerError(
                f"Faust application {self._name!r}: the broker has not described its topics within"
                f" {ASK_SECONDS:g} s"
            ) from error
        finally:
            await admin.stop()

    async def describe(self, names: Collection[str]) -> Mapping[str, TopicDescription]:
        """The topics that exist among these.

        Raises:
            BrokerError: the broker does not answer.
        """
        async with self.asking() as admin:
            return await admin.describe_topics(names)
