"""localcloud's faster picker finds the same as moto's."""

from __future__ import annotations

from typing import Any

import moto.core.responses
import pytest
from localcloud.patches.picker import Picker
from localcloud.testing import Cloud
from moto.core.serialize import XFormedAttributePicker
from unit.resources import described, make_group

RESOURCES = "instances images volumes network_interfaces vpcs security_groups".split()


def test_every_answer_is_the_same_as_with_motos_own_picker(
    cloud: Cloud, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)

    def answers() -> list[Any]:
        given = [getattr(ec2, f"describe_{name}")() for name in RESOURCES]
        for answer in given:
            del answer["ResponseMetadata"]
        return [*given, described(autoscaling)]

    quick = answers()
    assert vars(moto.core.responses)["XFormedAttributePicker"] is Picker
    monkeypatch.setattr("moto.core.responses.XFormedAttributePicker", XFormedAttributePicker)
    assert answers() == quick
