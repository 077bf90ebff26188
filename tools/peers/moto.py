"""moto's tests that were verified on AWS, out of its source distribution, against localcloud instead of moto."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from xml.etree import ElementTree

from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from tools.peers import packages, report

#: The services that localcloud models.
FOLDERS = ("autoscaling", "ec2", "iam", "kms", "logs", "secretsmanager", "ssm", "sts")
#: Whose collection and tests take seconds.
QUICK = (
    "test_autoscaling/test_autoscaling.py",
    "test_ec2/test_security_groups.py",
    "test_ec2/test_launch_templates.py",
    "test_secretsmanager/test_secretsmanager.py",
)
#: Tests that need what localcloud says that it has not, and why.
NOT_RUN = {
    "test_ec2/test_fleets.py::test_delete_fleet": "it needs an image in us-west-1; localcloud's are in us-east-1 only",
}
#: A test that has not ended by then has hung.
LIMIT_SECONDS = 1800


def run(quick: bool) -> report.Peer:
    """Run them."""
    peer = report.Peer("moto", version("moto"), "its tests that were verified on AWS (`aws_verified`)")
    try:
        source, site = packages.source("moto"), packages.site()
    except packages.Unreachable as problem:
        peer.add("its source distribution", "absent", str(problem))
        return peer
    results = packages.FOLDER / "moto.xml"
    results.unlink(missing_ok=True)
    chosen = QUICK if quick else [f"test_{name}" for name in FOLDERS if (source / "tests" / f"test_{name}").is_dir()]
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        environment = {
            **os.environ,
            **cloud.environment,
            "MOTO_TEST_ALLOW_AWS_REQUEST": "true",
            "PYTHONPATH": str(site),
        }
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "aws_verified"),
                *(f"--junitxml={results}", *(f"--deselect=tests/{name}" for name in NOT_RUN)),
                *(f"tests/{name}" for name in chosen),
            ],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    if not results.is_file():
        peer.add("its tests", "fault", done.stdout + done.stderr)
        return peer
    for name, why in NOT_RUN.items() if not quick else ():
        peer.add(name, "absent", why)
    for case in ElementTree.parse(results).iter("testcase"):
        failed = next((part for part in case if part.tag in ("failure", "error")), None)
        text = "" if failed is None else f"{failed.text} {failed.get('message')}"
        name = f"{case.get('classname')}::{case.get('name')}"
        if any(part.tag == "skipped" for part in case):
            peer.add(name, "absent", "skipped by itself")
        elif report.REFUSAL in text:
            peer.add(name, "refused", text)
        else:
            peer.add(name, "passed" if failed is None else "fault", text)
    return peer
