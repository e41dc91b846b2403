"""Faults planted into a clean run: each is counted, and nothing else."""

from dataclasses import replace

from tests.torture.verdict import Counts, Seen, judge, longest_gaps, recovery_seconds

SOURCE = [Seen(n, b"k%d" % (n % 3), n % 3, 1_000 + n) for n in range(30)]
OUTPUTS = [replace(one, appended_ms=one.appended_ms + 5, pid=1) for one in SOURCE]
IDS = [one.id for one in SOURCE]


def verdict(
    outputs: list[Seen], source: list[Seen] = SOURCE, acknowledged: list[int] = IDS
) -> Counts:
    return judge(acknowledged, [], source, outputs, 0)


def faults(counts: Counts) -> dict[str, int]:
    found = {
        "lost": counts.lost,
        "forgotten": counts.forgotten,
        "duplicates": counts.duplicates,
        "strangers": counts.strangers,
        "inversions": counts.inversions,
    }
    return {name: count for name, count in found.items() if count}


def test_a_clean_run_has_no_faults() -> None:
    assert faults(verdict(OUTPUTS)) == {}


def test_a_record_without_output_is_lost() -> None:
    assert faults(verdict(OUTPUTS[:4] + OUTPUTS[6:])) == {"lost": 2}


def test_a_record_of_which_nobody_knew_is_lost_too_if_it_is_in_the_source() -> None:
    assert faults(verdict(OUTPUTS[1:], acknowledged=IDS[1:])) == {"lost": 1}


def test_an_acknowledged_record_that_is_not_in_the_source_is_the_brokers_loss() -> None:
    assert faults(verdict(OUTPUTS[1:], source=SOURCE[1:])) == {"forgotten": 1}


def test_repeated_outputs_are_counted_each() -> None:
    assert faults(verdict([*OUTPUTS, OUTPUTS[3], OUTPUTS[3], OUTPUTS[4]])) == {"duplicates": 3}


def test_a_record_that_is_twice_in_the_source_may_be_twice_in_the_sink() -> None:
    twice = [*SOURCE, replace(SOURCE[0], appended_ms=2_000)]
    assert faults(verdict([*OUTPUTS, OUTPUTS[0]], source=twice)) == {}


def test_an_output_that_nobody_asked_for_is_a_stranger() -> None:
    assert faults(verdict([*OUTPUTS, replace(OUTPUTS[0], id=99)])) == {"strangers": 1}


def test_an_output_with_another_key_is_a_stranger() -> None:
    counts = verdict([replace(OUTPUTS[0], key=b"other"), *OUTPUTS[1:]])
    assert faults(counts) == {"strangers": 1}


def test_neighbours_of_one_key_that_change_places_are_an_inversion() -> None:
    turned = list(OUTPUTS)
    turned[3], turned[6] = turned[6], turned[3]
    assert faults(verdict(turned)) == {"inversions": 1}


def test_records_of_two_keys_may_change_places() -> None:
    turned = list(OUTPUTS)
    turned[3], turned[4] = turned[4], turned[3]
    assert faults(verdict(turned)) == {}


def test_a_replay_is_no_inversion() -> None:
    assert faults(verdict([*OUTPUTS[:12], *OUTPUTS[6:]])) == {"duplicates": 6}


def test_the_longest_gap_reaches_to_both_ends_of_the_window() -> None:
    outputs = [Seen(0, b"", 0, 2_000), Seen(1, b"", 0, 3_000), Seen(2, b"", 1, 9_500)]
    assert longest_gaps(outputs, 3, since_ms=1_000, until_ms=10_000) == [7.0, 8.5, 9.0]


def test_recovery_is_told_by_the_slowest_partition() -> None:
    outputs = [Seen(0, b"", 0, 2_000), Seen(1, b"", 0, 5_500), Seen(2, b"", 1, 7_000)]
    assert recovery_seconds(outputs, 2, since_ms=5_000) == 2.0


def test_there_is_no_recovery_without_every_partition() -> None:
    assert recovery_seconds([Seen(0, b"", 0, 6_000)], 2, since_ms=5_000) is None
