"""`python -m tests.molecule.cloud up|down|terminate FOLDER`: a localcloud whose instances are Molecule's containers.

Each instance of its group is a process here that only relays two ports to the containers' network: the API and the
instance's own metadata service. So what runs in the container has an id, a role's credentials, a group and a hook, as
on EC2. `up` prints, as a line of JSON, what each container needs to know about its instance.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "agent/tests"))

from localcloud.testing import Cloud, wait_until
from processes.fleet import GROUP, Fleet


class MoleculeFleet(Fleet):
    """A fleet whose instances are containers that Molecule creates. It outlives this process."""

    program = "tests.molecule.relay"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        self._url = folder / "url"
        if self._url.exists():
            self.cloud = Cloud(self._url.read_text(), folder)

    def up(self) -> None:
        super().up()
        self._url.write_text(self.cloud.url)

    def down(self) -> None:
        if self._url.exists():
            self.cloud.run_localcloud("down")

    def launch_containers(self, count: int) -> list[dict[str, Any]]:
        """Launch so many instances and return what the container of each needs to know; see `tests.molecule.relay`."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)
        files = wait_until(lambda: len(found := sorted(self.folder.glob("i-*.json"))) == count and found, 60)
        return [json.loads(file.read_text()) for file in files or []]


def main(command: str, folder: Path, *arguments: str) -> None:
    """Run the command line."""
    fleet = MoleculeFleet(folder)
    match command:
        case "up":
            fleet.down()  # of a run that was interrupted
            for file in (*folder.glob("i-*.json"), *folder.glob("trace.jsonl"), folder / "url"):
                file.unlink(missing_ok=True)
            fleet.up()
            print(json.dumps(fleet.launch_containers(int(arguments[0]))))
        case "down":
            fleet.down()
        case "terminate":
            fleet.terminate(arguments[0])
            print(fleet.completion(arguments[0], 120).result)
        case _:
            sys.exit(f"{command}: not one of up, down, terminate")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *sys.argv[3:])
