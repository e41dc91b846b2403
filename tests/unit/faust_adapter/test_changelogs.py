"""Changelogs with which no table can be written are told before a Faust application starts."""

from typing import Any

import faust
import pytest

from streamapp.brokers.memory.admin import MemoryAdmin
from streamapp.brokers.memory.broker import MemoryBroker
from streamapp.brokers.protocols import CommittedOffset, TopicSpec
from streamapp.clock import SystemClock
from streamapp.errors import TopicError
from streamapp.faust_adapter.changelogs import check_changelogs
from streamapp.record import TopicPartition


def shop(*sources: str, **settings: Any) -> faust.App:
    """An application with a table, and an agent of each of these topics."""
    app = faust.App("shop", broker="kafka://127.0.0.1:9092", topic_partitions=4, **settings)
    app.Table("totals", default=int)
    for name in sources:

        @app.agent(app.topic(name), name=name)
        async def count(stream: Any) -> None:
            async for _ in stream:
                pass

    return app


async def checked(app: faust.App, **topics: int) -> None:
    """Check an application on a broker with these topics, by their numbers of partitions."""
    await checked_by(MemoryBroker(SystemClock()).admin(), app, **topics)


async def checked_by(admin: MemoryAdmin, app: faust.App, **topics: int) -> None:
    names = {name.replace("_", "-"): count for name, count in topics.items()}
    await admin.create_topics([TopicSpec(name, count) for name, count in names.items()])
    await check_changelogs(app, admin)


async def test_a_changelog_that_faust_will_make_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await checked(shop("orders"), orders=4)
    assert not caplog.messages


async def test_a_missing_one_is_refused_where_faust_may_not_make_it() -> None:
    with pytest.raises(
        TopicError,
        match=r"'shop-totals-changelog', the changelog of table 'totals', is missing, and"
        r" topic_allow_declare .* create it with 4 partitions",
    ):
        await checked(shop("orders", topic_allow_declare=False), orders=4)
    app = shop("orders", topic_allow_declare=False)
    await checked(app, orders=4, shop_totals_changelog=4)


@pytest.mark.parametrize(("partitions", "what"), [(None, "would get 4"), (4, "has 4")])
async def test_one_with_other_partitions_than_every_source_is_refused(
    partitions: int | None, what: str
) -> None:
    with pytest.raises(TopicError, match=rf"{what} partitions.*\(orders has 3\)"):
        await checked(shop("orders"), orders=3, **_changelog(partitions))


async def test_it_may_be_that_of_another_agent_or_be_written_by_another_rule() -> None:
    await checked(shop("orders", "returns"), orders=3, returns=4)
    app = faust.App("shop", broker="kafka://127.0.0.1:9092", topic_partitions=4)
    app.GlobalTable("rates", default=int)
    app.Table("free", default=int, use_partitioner=True)
    app.agent(app.topic("orders"))(lambda stream: stream)
    await checked(app, orders=3)


async def test_a_table_whose_changelog_is_gone_is_told_to_begin_empty(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for has_changelog in (True, False):
        admin = MemoryBroker(SystemClock()).admin()
        await admin.create_topics([TopicSpec("orders", 4)])
        await admin.set_offsets("shop", {TopicPartition("orders", 0): CommittedOffset(3)})
        assert not caplog.messages
        await checked_by(admin, shop("orders"), **_changelog(4 if has_changelog else None))
    [told] = caplog.messages
    assert "topic shop-totals-changelog is not there: table totals begins empty" in told


def _changelog(partitions: int | None) -> dict[str, int]:
    return {} if partitions is None else {"shop_totals_changelog": partitions}
