"""The agent of the contenders with structs of msgspec's, which not all environments have."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from benchmarks.agents import LARGE_CENTS

NotNegative = Annotated[int, Meta(ge=0)]


class PurchaseStruct(Struct):
    """A purchase as a struct of msgspec's, with the same checks."""

    purchase_id: NotNegative
    customer_id: Annotated[str, Meta(min_length=1)]
    sequence: NotNegative
    bought_at_ms: NotNegative
    product_id: str
    country: str
    currency: str
    quantity: Annotated[int, Meta(ge=1)]
    unit_price_cents: NotNegative
    comment: str


class PricedStruct(PurchaseStruct):
    """The same with its cost."""

    total_cents: NotNegative
    is_large: bool


def price_struct(purchase: PurchaseStruct) -> PricedStruct:
    """Do the same with structs."""
    total_cents = purchase.quantity * purchase.unit_price_cents
    taken = msgspec.structs.astuple(purchase)
    return PricedStruct(*taken, total_cents, total_cents >= LARGE_CENTS)  # type: ignore[call-arg]  # mypy takes the tuple for longer


validate_struct = msgspec.json.Decoder(PurchaseStruct).decode
encode_struct = msgspec.json.Encoder().encode
