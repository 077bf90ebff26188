"""`make bench`: what a run of the playbooks costs, against the ways in which one would do it without them.

Everything is measured in this one run, on a localcloud of its own. A missed aim is told, not failed; only what breaks ends with an error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench.calls import Call, by_aws_cli, by_boto3, distinct, made_by
from bench.measure import Line, interleaved, table
from tests.fleet.cloud import KEYS, Cloud

LATENCIES = (0, 80)  # ms; 80 is a call to AWS from another continent
NOTHING_TO_DO = {0: 0.17, 80: 0.15}  # of the aws-cli style
COLD = 0.8  # of the aws-cli style
FOUR = 1.6  # of one fleet
CALLS, WRITES = 25, 0
NOOP = "site.yml with nothing to do, to aws-cli"
HOSTS = ("one", "two", "three", "four")


def inventory(folder: Path) -> str:
    """Four fleets that share nothing, so that they can also be built side by side."""
    hosts = {
        host: {
            "fleet_name": f"gh-bench-{host}",
            "fleet_repository_name": f"ghosthands-{host}",
            "fleet_secret_name": f"ghosthands/worker/{host}",
            "fleet_log_group_name": f"/wekruit/gh-bench-{host}",
            "fleet_secret_create": True,
            "fleet_access_key": KEYS["aws_access_key_id"],
            "fleet_secret_key": KEYS["aws_secret_access_key"],
        }
        for host in HOSTS
    }
    file = folder / "hosts.json"
    file.write_text(json.dumps({"fleet": {"hosts": hosts}}))
    return str(file)


class Bench:
    """The measurements on one cloud."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.inventory = inventory(folder)
        self.valet = str(folder / "valet" / "{{ fleet_name }}")

    def site(self, hosts: Sequence[str] = HOSTS[:1], may_change: bool = False) -> None:
        """`site.yml` on these fleets.

        Raises RuntimeError where it fails, or changes something that it may not.
        """
        run = self.cloud.play(
            "site.yml", "--limit", ",".join(hosts), inventory=self.inventory, fleet_valet_dir=self.valet
        )
        if run.returncode or (run.changed and not may_change):
            raise RuntimeError(f"site.yml on {', '.join(hosts)}: {run}")

    def again(self, calls: Sequence[Call]) -> None:
        """The calls by aws-cli, on an account as new."""
        self.cloud.control("reset")
        by_aws_cli(self.cloud, calls)

    def from_nothing(self) -> None:
        """`site.yml` on an account as new."""
        self.cloud.control("reset")
        self.cloud.clear_trace()
        self.site(may_change=True)

    def nothing_to_do(self, latency: int, rounds: int) -> list[Line]:
        """The no-op run, its calls made by aws-cli and by boto3, and four fleets in one run."""
        self.cloud.control("latency", ms=latency)
        self.cloud.clear_trace()
        self.site()
        calls = made_by(self.cloud)
        taken = interleaved(
            rounds,
            {
                "site": self.site,
                "boto3": partial(by_boto3, self.cloud, calls, 1),
                "threads": partial(by_boto3, self.cloud, calls, 16),
                "four": partial(self.site, HOSTS),
                "aws": partial(by_aws_cli, self.cloud, calls),
            },
        )
        n, aws = len(calls), taken["aws"]
        return [
            Line("aws-cli, a process a call", latency, aws, n),
            Line(NOOP, latency, taken["site"], n, _writes(calls), aws, NOTHING_TO_DO[latency]),
            Line("plain boto3, one by one, to aws-cli", latency, taken["boto3"], n, None, aws),
            Line("plain boto3, 16 threads, to aws-cli", latency, taken["threads"], n, None, aws),
            Line("four fleets with nothing to do, to one", latency, taken["four"], None, None, taken["site"], FOUR),
        ]

    def cold(self, latency: int, rounds: int) -> list[Line]:
        """The first run, and the same calls by aws-cli."""
        self.cloud.control("latency", ms=latency)
        self.from_nothing()
        calls = made_by(self.cloud)
        once = distinct(calls)
        writes = [c for c in once if c.writes]
        taken = interleaved(
            rounds, {"site": self.from_nothing, "aws": partial(self.again, once), "writes": partial(self.again, writes)}
        )
        return [
            Line("aws-cli, each distinct call of the first run", latency, taken["aws"], len(once), len(writes)),
            Line("aws-cli, its writes alone", latency, taken["writes"], len(writes), len(writes)),
            Line(
                "site.yml from nothing, to each distinct call",
                latency,
                taken["site"],
                len(calls),
                _writes(calls),
                taken["aws"],
                COLD,
            ),
            Line(
                "site.yml from nothing, to the writes alone",
                latency,
                taken["site"],
                len(calls),
                _writes(calls),
                taken["writes"],
            ),
        ]


def _writes(calls: Sequence[Call]) -> int:
    return sum(c.writes for c in calls)


def measure(rounds: int, cold_rounds: int) -> list[Line]:
    """Everything, on a localcloud that is up for this alone."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        cloud = Cloud(Path(name))
        cloud.command("up", "--trace", str(cloud.trace_file))
        try:
            bench = Bench(cloud, Path(name))
            for latency in LATENCIES if cold_rounds else ():
                say(f"... from nothing, {latency} ms a call")
                lines += bench.cold(latency, cold_rounds)
            say("... building four fleets")
            cloud.control("latency", ms=0)
            cloud.control("reset")
            bench.site(HOSTS, may_change=True)
            for latency in LATENCIES:
                say(f"... nothing to do, {latency} ms a call")
                lines += bench.nothing_to_do(latency, rounds)
        finally:
            cloud.command("down")
    return lines


def say(text: str) -> None:
    """At once, also into a pipe."""
    print(text, flush=True)


def main() -> int:
    """Measure, tell."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of a run with nothing to do (default: %(default)s)")
    parser.add_argument(
        "--cold-rounds", type=int, default=1, help="of a run from nothing; 0 leaves them out (default: %(default)s)"
    )
    given = parser.parse_args()
    say(", ".join(f"{package} {version(package)}" for package in ("ansible-core", "boto3", "awscli")))
    say(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; a load near the number of cores makes every time doubtful"
    )
    lines = measure(given.rounds, given.cold_rounds)
    say(f"\n{table(lines)}\n\nmin and median over the rounds, in which the ways take turns; ratio: of the minima.")
    noop = next(line for line in lines if line.what == NOOP)
    met = (noop.calls or 0) <= CALLS and noop.writes == WRITES
    say(
        f"With nothing to do: {noop.calls} calls, {noop.writes} writes; at most {CALLS} and {WRITES}: {'met' if met else 'MISSED'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
