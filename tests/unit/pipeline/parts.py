"""Values and agents that many tests of combinators combine."""

from typing import Any

from pydantic import BaseModel

from streamapp.pipeline.agent import Agent, agent


class Item(BaseModel):
    """A value that an agent can change."""

    n: int
    tags: list[str] = []


class Fixed(BaseModel, frozen=True):
    """A value that nobody can change."""

    n: int


@agent
def twice(item: Item) -> int:
    return 2 * item.n


@agent
async def text(item: Item) -> str:
    return str(item.n)


@agent
def odd(item: Item) -> Item | None:
    return item if item.n % 2 else None


@agent
def up_to(item: Item) -> list[Item]:
    return [Item(n=i) for i in range(item.n)]


def failing(error: BaseException, name: str = "failing") -> Agent[Any, Any]:
    """An agent that fails with this."""

    @agent(name=name)
    def fail(item: Item) -> Item:
        item.tags.append("spoilt")
        raise error

    return fail
