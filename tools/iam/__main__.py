"""`python -m tools.iam`: writes docs/iam/{read,operator,teardown,verify}.json. Takes minutes.

It runs the playbooks through a fleet's whole life on localcloud and records which permissions their calls need.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))  # before what needs it, as pyproject.toml has it for the tests

from localcloud.authorization.guard import Guard, Refusal  # noqa: E402
from localcloud.authorization.permissions import required_permissions  # noqa: E402
from localcloud.authorization.resources import CallInAccount, NotModelled  # noqa: E402
from localcloud.calls import read_call  # noqa: E402
from localcloud.testing import CREDENTIALS, repeatedly  # noqa: E402
from moto.core.request import Request  # noqa: E402

from localcloud import seed  # noqa: E402
from tests.fleet.changes import CHANGES, MISSING, Change  # noqa: E402
from tests.fleet.cloud import Run  # noqa: E402
from tests.fleet.fleet import GROUP, LAUNCH, TERMINATION, Fleet, FullFleet  # noqa: E402
from tools.iam.document import Used, as_json, document, used  # noqa: E402

FOLDER = ROOT / "docs" / "iam"
DELETE_EVERYTHING = {"fleet_teardown_logs": True, "fleet_teardown_repository": True, "fleet_teardown_secret": True}


class Recorder(Guard):
    """Allows every call, and records the permissions that those with the playbooks' access key need."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = "Build"
        self.used = set[Used]()
        self.problems = list[str]()

    def check(self, request: Request) -> Refusal | None:
        """Record the permissions of a call before it is answered."""
        if f"Credential={CREDENTIALS['aws_access_key_id']}/" in request.headers.get("Authorization", ""):
            call = read_call(request)
            made = CallInAccount(
                call.service, call.action, call.parameters, seed.ACCOUNT, seed.REGION, user=seed.OPERATOR
            )
            try:
                if call.action != "GetCallerIdentity":  # nobody needs a permission for it
                    self.used |= {
                        used(self.phase, n.action, n.resource, n.context, n.tags) for n in required_permissions(made)
                    }
            except (NotModelled, ValueError) as problem:
                self.problems.append(f"{call.service}:{call.action}: {problem}")
        return super().check(request)


class RecordedFleet(FullFleet):
    """A fleet on a localcloud in this process; only the playbooks use the access key that is recorded."""

    recorder: Recorder

    def client(self, service: str, region: str = seed.REGION, **options: Any) -> Any:
        """A client with another access key."""
        return super().client(service, region, **dict.fromkeys(CREDENTIALS, "somebody-else"), **options)

    def run(self, playbook: str, phase: str = "Build", **variables: Any) -> Run:
        """Run a playbook. Raises SystemExit if it fails."""
        self.recorder.phase = phase
        run = self.play(playbook, **{**self.options, **variables})
        if run.returncode != 0:
            raise SystemExit(str(run))
        print(f"{phase}: {playbook} {variables or ''}: {len(self.recorder.used)} permissions", flush=True)
        return run

    def complete_hooks(self) -> None:
        """Complete launch and termination hooks as agents do."""
        hooks = {"Pending:Wait": LAUNCH, "Terminating:Wait": TERMINATION}
        for instance in self.group(GROUP).get("Instances", []):
            if hook := hooks.get(instance["LifecycleState"]):
                named = {"AutoScalingGroupName": GROUP, "LifecycleHookName": hook, "InstanceId": instance["InstanceId"]}
                self.client("autoscaling").complete_lifecycle_action(**named, LifecycleActionResult="CONTINUE")


@contextmanager
def recorded_fleet() -> Iterator[RecordedFleet]:
    """A fleet that runs during the block. Raises SystemExit if the permissions of a call are not known."""
    with RecordedFleet.start_thread() as fleet:
        fleet.recorder = fleet.application.guard = Recorder()
        yield fleet
    if fleet.recorder.problems:
        raise SystemExit("\n".join(fleet.recorder.problems))


def changes() -> Iterator[list[Change]]:
    """Changes in batches that one run reverts: those that delete or set variables singly, the others together."""
    alone = [m for m in CHANGES if m.differs and (MISSING in m.differs.values() or m.variables)]
    yield from ([m] for m in alone)
    yield [m for m in CHANGES if m.differs and m not in alone]


def run_lifecycle(fleet: RecordedFleet) -> None:
    """Build a fleet, revert every change, drill it, and delete it in both ways."""
    fleet.reset()
    fleet.run("site.yml", fleet_secret_create=True)
    fleet.build()
    for book in ("playbooks/preflight.yml", "playbooks/status.yml", "site.yml"):
        fleet.run(book)
    for batch in changes():
        while batch:  # a change that another one of its batch prevented is made in the next round
            fleet.restore()
            done = [change for change in batch if _apply(fleet, change, first=change is batch[0])]
            fleet.run("site.yml", **{name: value for change in done for name, value in change.variables.items()})
            print(f"  {len(done)} changes", flush=True)
            batch = [change for change in batch if change not in done]
    for kind in ("scale_in", "terminate"):
        fleet.restore()
        with repeatedly(fleet.complete_hooks, every=0.2):
            fleet.run(
                "playbooks/verify.yml",
                "Drill",
                fleet_drill=kind,
                fleet_verify_fail_on="never",
                fleet_report_dir=str(fleet.folder),
            )
    for how in ({}, {"fleet_force_delete": True}):
        fleet.restore()
        with repeatedly(fleet.complete_hooks, every=0.2):
            fleet.run("playbooks/teardown.yml", "Delete", fleet_confirm_teardown=GROUP, **DELETE_EVERYTHING, **how)


def _apply(fleet: Fleet, change: Change, first: bool) -> bool:
    """Whether the change could be made after others of its round. Raises if the first one cannot."""
    try:
        change.apply(fleet)
    except Exception:
        if first:
            raise
        return False
    return True


def documents(whole: set[Used], verified: set[Used]) -> dict[str, dict[str, Any]]:
    """File -> its document; a single document would be longer than a managed policy may be."""
    policy = document(whole | verified)

    def part(*phases: str) -> dict[str, Any]:
        return {**policy, "Statement": [s for s in policy["Statement"] if s["Sid"].startswith(phases)]}

    return {
        "read": part("Read"),
        "operator": part("Build", "Drill"),
        "teardown": part("Delete"),
        "verify": document(verified),
    }


def main() -> int:
    """Write the documents."""
    parser = argparse.ArgumentParser(prog="python -m tools.iam", description=__doc__)
    parser.parse_args()
    with recorded_fleet() as fleet:
        run_lifecycle(fleet)
        whole = set(fleet.recorder.used)
        fleet.restore()
        fleet.recorder.used.clear()
        fleet.run("playbooks/verify.yml", fleet_verify_fail_on="never", fleet_report_dir=str(fleet.folder))
        verified = set(fleet.recorder.used)
    if writing := {one.action for one in verified if one.phase != "Read"}:
        raise SystemExit(f"verify.yml writes: {', '.join(sorted(writing))}")
    for name, policy in documents(whole, verified).items():
        (FOLDER / f"{name}.json").write_text(as_json(policy), encoding="utf-8")
        print(f"docs/iam/{name}.json is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
