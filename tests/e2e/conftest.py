"""One first day for the session: its golden image is baked once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.first_day import ROOT, FirstDay


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstDay]:
    """After README's steps before the site. It leaves nothing on this machine."""
    subprocess.run([ROOT / ".ci/docker"], check=True)
    with FirstDay(tmp_path_factory.mktemp("day")) as day:
        for step in day.steps():
            if "site" in step.title.lower():
                break
            day.step(step.title)
        yield day
        print("; ".join(f"{title} {seconds:.0f} s" for title, seconds in day.times.items()))


@pytest.fixture(scope="session")
def site(day: FirstDay) -> Iterator[FirstDay]:
    """With a site again, after the first one was torn down; drains have a limit that tests can wait for."""
    day.write_inventory(fleet_drain_limit_seconds=30)
    day.write_secret("again")
    day.restore_secret()
    for title in ("Repository", "Worker image", "Roles", "Secret", "Site"):
        day.step(title)
    day.wait_for_workers(1)
    yield day
    day.cloud.set_faults()
    torn = day.teardown()
    assert torn.code == 0, torn.output
