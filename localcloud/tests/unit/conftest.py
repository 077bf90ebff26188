"""A localcloud in this process, and clients for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from localcloud.strictness import Strictness
from localcloud.testing import Cloud


@pytest.fixture(scope="session")
def running() -> Iterator[Cloud]:
    """One cloud for all tests of the session, without the delays that test_strictness is about."""
    with Cloud.start_thread(strictness=Strictness(propagation_seconds=0, credentials_seconds=0)) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: Cloud) -> Cloud:
    """The cloud with a fresh account, and no calls in its trace."""
    running.reset()
    running.clear_trace()
    return running


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    """An EC2 client."""
    return cloud.client("ec2")


@pytest.fixture
def autoscaling(cloud: Cloud) -> Any:
    """An Auto Scaling client."""
    return cloud.client("autoscaling")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the groups' clock on by seconds."""
    from localcloud.autoscaling.groups import Groups

    real, ahead = Groups.now, [0.0]
    monkeypatch.setattr(Groups, "now", lambda self: real(self) + ahead[0])

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move
