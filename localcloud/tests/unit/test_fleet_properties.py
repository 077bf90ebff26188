"""Whatever happens to a group, in whatever order: what must hold, holds (``walk`` says what that is)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from unit.walk import ALLOWED, HOOKS, STEPS, Walk

#: Replay a walk: GH_WALK_SEED=... pytest localcloud/tests/unit/test_fleet_properties.py -k walk
SEED = int(os.environ.get("GH_WALK_SEED") or random.SystemRandom().randrange(2**32))
WALKS, STEPS_EACH = 200, 500
SECONDS_ALLOWED = 60


class AnyLife(RuleBasedStateMachine):
    """hypothesis chooses the steps, and makes a failure short."""

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk()

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        self.walk.step(lambda options: data.draw(st.sampled_from(options)))


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_hundred_thousand_random_steps_break_nothing() -> None:
    print(f"seed {SEED}: replay with GH_WALK_SEED={SEED}")
    began, cpu = time.monotonic(), time.process_time()
    seen: set[str] = set()
    taken: dict[str, int] = dict.fromkeys(STEPS, 0)
    endings: set[str] = set()
    for number in range(WALKS):
        chance = random.Random(f"{SEED}/{number}")
        walk = Walk()
        for at in range(STEPS_EACH):
            try:
                taken[walk.step(chance.choice)] += 1
            except Exception as problem:
                raise AssertionError(f"walk {number}, step {at}, GH_WALK_SEED={SEED}: {problem!r}") from problem
            seen |= set(walk.state.values())
        endings |= {refresh.status for refresh in walk.group.refreshes.values()}
    spent = time.process_time() - cpu
    print(f"{sum(taken.values())} steps in {time.monotonic() - began:.1f} s ({spent:.1f} s of processor time)")
    assert sum(taken.values()) == WALKS * STEPS_EACH
    assert min(taken.values()) > 0
    assert spent < SECONDS_ALLOWED
    passing = {
        "",
        "Pending",
        "Pending:Proceed",
        "EnteringStandby",
        "Detaching",
        "Detached",
        "Terminating",
        "Terminated",
    }
    assert seen | passing == set(ALLOWED), "the walk does not reach every state"
    assert endings >= {"Successful", "Failed", "Cancelled", "RollbackSuccessful"}, (
        "the walk does not reach every end of a refresh"
    )


def scale_in_a_protected(walk: Walk) -> None:
    instance = next(iter(walk.group.instances.values()))
    walk.group._terminate(replace(instance, protected=True), "it was selected for termination", walk.now)


def lose_count(walk: Walk) -> None:
    walk.group._actual += 1


def forget_the_bounds(walk: Walk) -> None:
    walk.group.settings = replace(walk.group.settings, min_size=5)


def let_a_drain_go(walk: Walk) -> None:
    walk.group.put_hook(HOOKS[2])
    walk.group.terminate("i-1", True, walk.now)
    walk.step(lambda options: "heartbeat" if "heartbeat" in options else options[0])
    drained = replace(walk.group.instances["i-1"], state="Terminating:Proceed", waits=())
    vars(walk)["heartbeat"] = lambda _: walk.group._put(drained)


@pytest.mark.parametrize("damage", [scale_in_a_protected, lose_count, forget_the_bounds, let_a_drain_go])
def test_the_walk_notices_a_group_that_breaks_a_rule(damage: Callable[[Walk], None]) -> None:
    walk = Walk()
    for _ in range(2):
        walk.step(lambda options: "answer" if "answer" in options else options[0])
    assert walk.state == {"i-1": "InService", "i-2": "InService"}

    def live_on() -> None:
        damage(walk)
        walk.step(lambda options: "heartbeat" if "heartbeat" in options else options[0])

    with pytest.raises(AssertionError):
        live_on()
