"""The bench of the image: its comparison of hosts and its summary."""

from __future__ import annotations

from bench.image import differences, summary


def test_a_missed_target_is_printed() -> None:
    _, script, bake, noop = summary({"script": [10.0, 11.0], "bake": [17.0, 30.0], "noop": [10.5, 12.0]})
    assert script.split()[-3:] == ["10.0", "10.5", "1.00"]
    assert "1.70" in bake
    assert bake.endswith("ratio <= 1.6: MISSED")
    assert noop.endswith("<= 10 s: MISSED")


def test_the_fastest_round_decides_whether_a_target_is_met() -> None:
    _, _, bake, noop = summary({"script": [12.0, 10.0], "bake": [40.0, 16.0], "noop": [30.0, 9.0]})
    assert bake.endswith("ratio <= 1.6: met")
    assert noop.endswith("<= 10 s: met")


def test_what_only_one_host_has_is_named() -> None:
    assert differences("same\na\n", "same\nb\n") == ["image.yml only: a", "the script only: b"]
    assert differences("same\n", "same\n") == []
