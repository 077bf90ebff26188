"""The bench of the image: its verdicts, and what keeps its baseline honest."""

from __future__ import annotations

from bench.image import differences, gone, told


def test_an_aim_that_is_missed_is_told_plainly() -> None:
    _, script, bake, noop = told({"script": [10.0, 11.0], "bake": [17.0, 30.0], "noop": [10.5, 12.0]})
    assert script.split()[-3:] == ["10.0", "10.5", "1.00"]
    assert "1.70" in bake
    assert bake.endswith("ratio <= 1.6: MISSED")
    assert noop.endswith("<= 10 s: MISSED")


def test_an_aim_that_is_met_by_the_quickest_round_is_met() -> None:
    _, _, bake, noop = told({"script": [12.0, 10.0], "bake": [40.0, 16.0], "noop": [30.0, 9.0]})
    assert bake.endswith("ratio <= 1.6: met")
    assert noop.endswith("<= 10 s: met")


def test_what_only_one_host_has_is_named_with_its_side() -> None:
    assert differences("same\na\n", "same\nb\n") == ["image.yml alone: a", "the script alone: b"]
    assert differences("same\n", "same\n") == []


def test_the_script_seals_what_the_playbook_seals() -> None:
    assert {"/etc/ssh/ssh_host_*", "/var/cache/dnf/*"} <= set(gone())
