"""What has happened lately: what repeats itself counts, and does not push out what was before."""

from streamapp.observability.occurrences import MOST, OccurrenceKind, Occurrences


def test_what_happens_again_and_again_counts_as_one() -> None:
    lately = Occurrences()
    lately.add(1.0, OccurrenceKind.ASSIGNED, "was assigned raw[0]")
    for number in range(MOST + 5):
        lately.add(2.0 + number, OccurrenceKind.BATCH_FAILED, "a batch failed")
    first, last = lately.list()
    assert (first.told, first.times) == ("was assigned raw[0]", 1)
    assert (last.at, last.times) == (2.0 + MOST + 4, MOST + 5)


def test_what_differs_stands_by_itself() -> None:
    lately = Occurrences()
    for told in ("gave back raw[0]", "gave back raw[1]", "gave back raw[0]"):
        lately.add(1.0, OccurrenceKind.REVOKED, told)
    assert [one.times for one in lately.list()] == [1, 1, 1]
