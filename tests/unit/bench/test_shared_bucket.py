"""The aims of bench.shared_bucket hold, and the measurement can tell agents apart."""

from __future__ import annotations

from bench.shared_bucket import BASELINE, TODAY, measured, meets_aim

SEED = 13


def test_a_hundred_workers_on_ten_calls_a_second_are_protected_and_no_hook_times_out() -> None:
    result = measured(TODAY, 100, 10, 900, SEED)
    print(f"seed {SEED}: {result}")
    assert result.jobs > 1000
    assert result.hooks >= 30
    assert result.unprotected_share < 0.001
    assert (result.timed_out, result.late) == (0, 0)
    assert meets_aim(result)


def test_no_hook_times_out_with_a_thousand_workers_on_twenty_calls_a_second() -> None:
    result = measured(TODAY, 1000, 20, 500, SEED)
    print(f"seed {SEED}: {result}")
    assert result.hooks >= 200
    assert result.timed_out == 0
    assert meets_aim(result)


def test_the_agent_before_used_up_the_bucket() -> None:
    before, today = (measured(agent, 100, 5, 600, SEED) for agent in (BASELINE, TODAY))
    print(f"seed {SEED}: {before}, {today}")
    assert before.throttled > before.calls / 3
    assert today.throttled < today.calls / 100
    assert before.unprotected_share > 20 * today.unprotected_share


def test_protection_that_lingers_takes_fewer_calls() -> None:
    at_once, later = (measured(TODAY, 10, 10, 900, SEED, linger=linger) for linger in (0, 60))
    assert at_once.calls > 1.5 * at_once.jobs
    assert later.calls < 0.5 * later.jobs
