from itertools import pairwise

import orjson
import pytest

from benchmarks import agents, load
from benchmarks.check import Findings, PurchaseCheck

RECORDS = 50
KEYS = 5

Output = tuple[int, bytes | None, bytes]


def good_outputs() -> list[Output]:
    return [(0, key, agents.price_json(value)) for key, value in load.purchases(RECORDS, keys=KEYS)]


def look(outputs: list[Output]) -> Findings:
    check = PurchaseCheck(RECORDS)
    for output in outputs:
        check.see(*output)
    return check.findings()


def test_good_outputs_have_no_findings() -> None:
    assert look(good_outputs()) == Findings()
    assert str(look(good_outputs())) == ""


def test_a_lost_record_is_found() -> None:
    assert look(good_outputs()[:-1]) == Findings(lost=1)


def test_a_repeated_record_is_found_wherever_it_stands() -> None:
    outputs = good_outputs()
    assert look([*outputs, outputs[0]]) == Findings(repeated=1)


@pytest.mark.parametrize("key", [None, b"", b"another"])
def test_another_key_is_found(key: bytes | None) -> None:
    outputs = good_outputs()
    outputs[3] = (0, key, outputs[3][2])
    assert look(outputs) == Findings(rekeyed=1)


def test_a_record_in_another_partition_is_found() -> None:
    outputs = good_outputs()
    partition, key, value = outputs[-1]
    outputs[-1] = (partition + 1, key, value)
    assert look(outputs) == Findings(scattered=1)


def test_two_records_of_a_customer_that_changed_places_are_found() -> None:
    outputs = good_outputs()
    own = [place for place, (_, key, _) in enumerate(outputs) if key == outputs[0][1]]
    first, second = next(pairwise(own))
    outputs[first], outputs[second] = outputs[second], outputs[first]
    assert look(outputs) == Findings(disordered=1)


def test_a_wrong_total_is_found() -> None:
    outputs = good_outputs()
    value = orjson.loads(outputs[0][2])
    outputs[0] = (0, outputs[0][1], orjson.dumps({**value, "total_cents": 1}))
    assert look(outputs) == Findings(wrong=1)
