"""Termination hooks that somebody completes, where no agent runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tests.fleet.fleet import GROUP, TERMINATION
from tests.fleet.healthy import HealthyFleet


@contextmanager
def completed_hooks(fleet: HealthyFleet, result: str = "CONTINUE") -> Iterator[None]:
    """Complete termination hooks a second after they open, as agents of idle workers do."""
    stop = Event()

    def work() -> None:
        while not stop.wait(1):
            for one in fleet.group()["Instances"]:
                if one["LifecycleState"] == "Terminating:Wait":
                    fleet.client("autoscaling").complete_lifecycle_action(
                        AutoScalingGroupName=GROUP,
                        LifecycleHookName=TERMINATION,
                        InstanceId=one["InstanceId"],
                        LifecycleActionResult=result,
                    )

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
