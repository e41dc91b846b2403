"""The agent of all contenders in three shapes, with its input and output models.

It is typed on both sides, checks its input, computes two fields and checks its output, as an agent
in production would. `validate` and `encode` are what pydantic calls itself, without its Python
layer, as in `streamapp.serialisation`.
"""

from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel, Field, TypeAdapter

from streamapp.pipeline.context import Context
from streamapp.pipeline.out import Out

LARGE_CENTS = 50_000


class Purchase(BaseModel):
    """The value of a record: about 220 bytes of JSON.

    `purchase_id` numbers all records from zero and `sequence` those of one customer, so that
    loss, duplicates and order can be seen in the outputs.
    """

    purchase_id: int = Field(ge=0)
    customer_id: str = Field(min_length=1)
    sequence: int = Field(ge=0)
    bought_at_ms: int = Field(ge=0)
    product_id: str
    country: str
    currency: str
    quantity: int = Field(ge=1)
    unit_price_cents: int = Field(ge=0)
    comment: str


class PricedPurchase(Purchase):
    """A purchase with its cost."""

    total_cents: int = Field(ge=0)
    is_large: bool


class FrozenPricedPurchase(PricedPurchase, frozen=True):
    """The same, which a fused stage takes as it is."""


def price(purchase: Purchase) -> PricedPurchase:
    """Compute the cost of a purchase."""
    total_cents = purchase.quantity * purchase.unit_price_cents
    return PricedPurchase(
        **purchase.__dict__, total_cents=total_cents, is_large=total_cents >= LARGE_CENTS
    )


def price_frozen(purchase: Purchase) -> FrozenPricedPurchase:
    """Do the same and give an output that cannot be changed."""
    total_cents = purchase.quantity * purchase.unit_price_cents
    return FrozenPricedPurchase(
        **purchase.__dict__, total_cents=total_cents, is_large=total_cents >= LARGE_CENTS
    )


def price_out(purchase: Purchase) -> Out[PricedPurchase]:
    """Do the same and give the output a key of its own: the customer, as text."""
    return Out(price(purchase), key=purchase.customer_id)


def price_context(purchase: Purchase, context: Context) -> PricedPurchase:
    """Do the same and look at the context."""
    if context.attempt > 1:
        raise ValueError(f"attempt {context.attempt} of stage {context.stage_id}")
    return price(purchase)


async def price_async(purchase: Purchase) -> PricedPurchase:
    """The same as an async function that never suspends."""
    return price(purchase)


def price_dict(purchase: dict[str, Any]) -> dict[str, Any]:
    """Do the same without types."""
    total_cents = purchase["quantity"] * purchase["unit_price_cents"]
    return {**purchase, "total_cents": total_cents, "is_large": total_cents >= LARGE_CENTS}


def pass_on(priced: PricedPurchase) -> PricedPurchase:
    """Pass the value on: the agent of further stages."""
    return priced


def pass_on_frozen(priced: FrozenPricedPurchase) -> FrozenPricedPurchase:
    """Do the same with what cannot be changed."""
    return priced


validate = cast("Callable[[bytes], Purchase]", Purchase.__pydantic_validator__.validate_json)
validate_priced = cast(
    "Callable[[bytes], PricedPurchase]", PricedPurchase.__pydantic_validator__.validate_json
)
read_dict = cast("Callable[[bytes], dict[str, Any]]", TypeAdapter(dict).validator.validate_json)
encode = cast("Callable[[PricedPurchase], bytes]", PricedPurchase.__pydantic_serializer__.to_json)


def price_json(value: bytes) -> bytes:
    """JSON to JSON, for peers that call one function for each record."""
    return encode(price(validate(value)))
