"""`python -m tools.iam`: writes docs/iam/*.json, from what the playbooks' modules can call.

`--check` fails where a document on disk differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))  # as pyproject.toml has it for the tests

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import in_partition

from tools.iam.document import as_json, document
from tools.iam.permissions import tasks, used

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "iam"
PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
#: What programs call that are not modules, so that nothing can be read from their source: Packer's plugin, docker push.
BY_HAND = ("packer", "packer-options", "push")


def policies() -> dict[str, dict[str, Any]]:
    """Name -> its document; a single one would be longer than a managed policy may be. Raises ValueError."""
    building = (task for task in tasks() if task.phase != "Command")  # whoever gives commands need not build
    whole, verifying = document(used(building)), used(task for task in tasks() if task.phase == "Verify")
    commanding = document(used(task for task in tasks() if task.phase == "Command"))
    if writing := {one.action for one in verifying if one.phase != "Read"}:
        raise ValueError(f"verify.yml writes: {', '.join(sorted(writing))}")

    def part(*phases: str) -> dict[str, Any]:
        return {**whole, "Statement": [s for s in whole["Statement"] if s["Sid"].startswith(phases)]}

    return {
        "read": part("Read"),
        "operator": part("Build", "Drill", "Replace"),
        "teardown": part("Delete"),
        "hosts": part("Hosts"),
        "commands": {**commanding, "Statement": [s for s in commanding["Statement"] if s["Sid"].startswith("Command")]},
        "secret": part("Secret"),
        "verify": document(verifying),
    }


def files() -> Iterator[tuple[Path, str]]:
    """Each document of each partition: its file and its text. Those of `BY_HAND` are written by hand for `aws`."""
    made = policies()
    for name in BY_HAND:
        made[name] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for partition in PARTITIONS:
        for name, policy in made.items():
            yield (
                (FOLDER / ("" if partition == "aws" else partition) / f"{name}.json"),
                as_json(in_partition(policy, partition)),
            )


def main() -> int:
    """Write the documents, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m tools.iam", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a document differs")
    arguments = parser.parse_args()
    outdated = [(path, text) for path, text in files() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in outdated:
        if not arguments.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        print(f"{path} {'is not what python -m tools.iam writes' if arguments.check else 'is written'}")
    return 1 if arguments.check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
