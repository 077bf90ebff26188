"""Whatever happens to a group, in whatever order: the invariants of ``random_steps`` hold."""

from __future__ import annotations

import os
import random
import time

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from unit.random_steps import ALLOWED, STEPS, RandomSteps

#: To repeat a run: GROUP_STEPS_SEED=... pytest tests/unit/test_fleet_properties.py -k random
SEED = int(os.environ.get("GROUP_STEPS_SEED") or random.SystemRandom().randrange(2**32))
GROUPS, STEPS_EACH = 200, 500
CPU_SECONDS = 60
#: States that a group passes through within one step.
TRANSIENT = {
    *("", "Pending", "Pending:Proceed", "EnteringStandby", "Detaching", "Detached", "Terminating", "Terminated")
}


class AnyOrder(RuleBasedStateMachine):
    """Hypothesis chooses the steps, and shortens a sequence that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = RandomSteps()

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        self.steps.step(lambda options: data.draw(st.sampled_from(options)))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_hundred_thousand_random_steps_violate_no_invariant() -> None:
    print(f"seed {SEED}: repeat with GROUP_STEPS_SEED={SEED}")
    began, cpu = time.monotonic(), time.process_time()
    states: set[str] = set()
    taken: dict[str, int] = dict.fromkeys(STEPS, 0)
    refreshes: set[str] = set()
    for number in range(GROUPS):
        chance = random.Random(f"{SEED}/{number}")
        steps = RandomSteps()
        for at in range(STEPS_EACH):
            try:
                taken[steps.step(chance.choice)] += 1
            except Exception as error:
                raise AssertionError(f"group {number}, step {at}, GROUP_STEPS_SEED={SEED}: {error!r}") from error
            states |= set(steps.states.values())
        refreshes |= {refresh.status for refresh in steps.group.refreshes.values()}
    spent = time.process_time() - cpu
    print(f"{sum(taken.values())} steps in {time.monotonic() - began:.1f} s ({spent:.1f} s of CPU time)")
    assert sum(taken.values()) == GROUPS * STEPS_EACH
    assert min(taken.values()) > 0
    assert spent < CPU_SECONDS
    assert states | TRANSIENT == set(ALLOWED), "not every state was reached"
    assert refreshes >= {"Successful", "Failed", "Cancelled", "RollbackSuccessful"}, "not every result was reached"
