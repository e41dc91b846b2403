"""Agents whose outputs, or whose parts, take other ways through the runtime than `agents` do.

Each makes of a purchase what `agents.price` makes of it, or a value with an enum, a date and a
model within.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel

from benchmarks.agents import LARGE_CENTS, PricedPurchase, Purchase, price
from streamapp.pipeline.agent import agent
from streamapp.pipeline.combinators.branches import parallel
from streamapp.pipeline.combinators.pool import pool

_BOUGHT_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Size(StrEnum):
    """How much a purchase costs."""

    SMALL = "small"
    LARGE = "large"


class SizedPurchase(BaseModel):
    """A purchase with an enum."""

    purchase_id: int
    customer_id: str
    size: Size
    comment: str | None = None


class Total(BaseModel):
    """An amount."""

    cents: int
    currency: str


class Receipt(BaseModel):
    """A purchase with an enum, a date and a model within."""

    purchase_id: int
    customer_id: str
    size: Size
    bought_at: datetime
    total: Total
    comment: str | None = None


def size_of(purchase: Purchase) -> Size:
    """Find how much a purchase costs."""
    cents = purchase.quantity * purchase.unit_price_cents
    return Size.LARGE if cents >= LARGE_CENTS else Size.SMALL


def total_of(purchase: Purchase) -> Total:
    """Compute the cost of a purchase."""
    cents = purchase.quantity * purchase.unit_price_cents
    return Total(cents=cents, currency=purchase.currency)


def sized(purchase: Purchase) -> SizedPurchase:
    """Add the size."""
    return SizedPurchase(
        purchase_id=purchase.purchase_id, customer_id=purchase.customer_id, size=size_of(purchase)
    )


def receipt_of(purchase: Purchase) -> Receipt:
    """Make the receipt."""
    return _receipt(purchase, size_of(purchase), total_of(purchase))


def listed(purchase: Purchase) -> Iterator[PricedPurchase]:
    """Give the one output as an iterator."""
    yield price(purchase)


def _receipt(purchase: Purchase, size: Size, total: Total) -> Receipt:
    return Receipt(
        purchase_id=purchase.purchase_id,
        customer_id=purchase.customer_id,
        size=size,
        bought_at=_BOUGHT_AT,
        total=total,
    )


COMPOSED = {
    "enum": agent(sized),
    "nested": agent(receipt_of),
    "list": agent(listed),
    "parallel": parallel(agent(size_of), agent(total_of)).join(_receipt, name="receipt"),
    "pool": pool(agent(name="first")(price), agent(name="second")(price), capacity=8),
}
"""Agents by mode."""
