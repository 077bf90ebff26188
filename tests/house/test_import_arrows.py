"""HOUSE rules 1, 4, 5 and 6: the arrows hold for every Python file, and each is seen when it breaks."""

from __future__ import annotations

import pytest

from tests.house import tree
from tests.house.arrows import ARROWS, Arrow, imports

FLEET = "plugins/module_utils/_fleet"
ABSOLUTE = "ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet"
AGENT = "agent/src/ghosthands_agent"


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: arrow.rule)
def test_no_file_imports_what_an_arrow_forbids(arrow: Arrow) -> None:
    breaches = [breach for file in tree.matching("*.py") for breach in arrow.breaches(file, tree.text(file))]
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: arrow.rule)
def test_every_arrow_guards_a_file_once_its_room_stands(arrow: Arrow) -> None:
    rooms = [(tree.ROOT / pattern.split("*")[0]).parent for pattern in arrow.files]
    if any(room.is_dir() for room in rooms):
        assert any(arrow.guards(file) for file in tree.files())


PLANTED = [
    (f"{FLEET}/model.py", "import botocore"),
    (f"{FLEET}/model.py", "from .checks import findings"),
    (f"{FLEET}/resources/iam_role.py", "from ..account import Account"),
    (
        f"{FLEET}/resources/iam_role.py",
        f"from {ABSOLUTE} import read",
    ),
    (f"{FLEET}/resources/iam_role.py", "def late():\n    import yaml"),
    (f"{FLEET}/checks/group.py", f"from {ABSOLUTE}.read import model"),
    (f"{FLEET}/checks/group.py", "import boto3"),
    (f"{FLEET}/report/page.py", "from ansible.module_utils.basic import AnsibleModule"),
    (f"{FLEET}/report/page.py", "from datetime import datetime"),
    (f"{FLEET}/report/page.py", "import jinja2"),
    (f"{FLEET}/report/page.py", f"from {ABSOLUTE} import read"),
    (f"{FLEET}/registry.py", "from .postgres import RegistryError"),
    (f"{FLEET}/read.py", "import psycopg"),
    ("plugins/modules/worker_registry_info.py", "from psycopg.rows import dict_row"),
    (f"{FLEET}/account.py", "from ansible_collections.amazon.aws.plugins.module_utils.botocore import HAS_BOTO3"),
    (f"{FLEET}/read.py", "import botocore.exceptions"),
    ("plugins/action/fleet_drift.py", "from botocore.session import Session"),
    ("plugins/modules/lifecycle_check.py", "from ghosthands_agent import boot"),
    ("plugins/modules/lifecycle_check.py", "from ...roles.ghosthands.files.ghosthands_agent import boot"),
    (f"{AGENT}/aws.py", f"from {ABSOLUTE} import model"),
    (f"{AGENT}/aws.py", "import requests"),
    (f"{AGENT}/boot.py", "import subprocess"),
    (f"{AGENT}/watch.py", "from time import monotonic"),
    (f"{AGENT}/drain.py", "import os.path"),
    (f"{AGENT}/drain.py", "from . import worker"),
    (f"{AGENT}/drain.py", "from .worker import Worker"),
    (f"{AGENT}/stop.py", "from pathlib import Path"),
    (f"{AGENT}/vigil.py", "import threading"),
    (f"{AGENT}/environment.py", "from .files import write"),
    (f"{AGENT}/settings.py", "import os"),
    ("localcloud/fleet/lifecycle.py", "from moto.autoscaling import models"),
    ("localcloud/fleet/lifecycle.py", "from http.server import HTTPServer"),
    ("localcloud/fleet/lifecycle.py", "import threading"),
    ("localcloud/fleet/lifecycle.py", "from .. import api"),
    ("localcloud/iam/policies.py", "from localcloud.authorization import callers"),
    ("localcloud/instances/process.py", "from localcloud.autoscaling import groups"),
    (
        "localcloud/autoscaling/groups.py",
        f"from {ABSOLUTE} import model",
    ),
    ("localcloud/autoscaling/groups.py", "from tests.fleet import cloud"),
    ("plugins/action/fleet_drift.py", "import localcloud.seed"),
    ("plugins/action/fleet_drift.py", "import importlib\nimportlib.import_module('localcloud.fleet')"),
    (f"{AGENT}/__main__.py", "__import__('tests.fleet')"),
]


@pytest.mark.parametrize(("file", "source"), PLANTED)
def test_a_planted_import_is_found(file: str, source: str) -> None:
    assert [breach for arrow in ARROWS for breach in arrow.breaches(file, source)]


@pytest.mark.parametrize("arrow", ARROWS, ids=lambda arrow: arrow.rule)
def test_every_arrow_is_broken_by_a_planted_import(arrow: Arrow) -> None:
    assert [breach for file, source in PLANTED for breach in arrow.breaches(file, source)]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (f"{FLEET}/checks/group.py", "from ..model import Fleet"),
        (f"{FLEET}/resources/iam_role.py", "from .resource import Resource\nimport json"),
        (f"{FLEET}/account.py", "import botocore.session"),
        (
            "plugins/modules/instance_refresh.py",
            "import botocore\nfrom ansible.module_utils import basic",
        ),
        (f"{AGENT}/__main__.py", "import os, time, boto3\nfrom ghosthands_agent import boot, imds"),
        (f"{AGENT}/drain.py", "from . import watch"),
        ("localcloud/autoscaling/groups.py", "import moto, threading\nfrom localcloud import fleet"),
        ("localcloud/fleet/refresh.py", "import math\nfrom localcloud.fleet.values import Refused"),
        ("tests/fleet/test_site.py", "import localcloud.fleet"),
    ],
)
def test_what_the_house_draws_is_allowed(file: str, source: str) -> None:
    assert not [breach for arrow in ARROWS for breach in arrow.breaches(file, source)]


def test_relative_and_absolute_names_of_one_module_are_the_same() -> None:
    file = f"{FLEET}/checks/group.py"
    absolute = f"from {ABSOLUTE}.model import Fleet"
    assert list(imports(file, "from ..model import Fleet")) == list(imports(file, absolute))
    assert list(imports(file, "from ...x import y")) == [(1, "plugins.module_utils.x.y")]
