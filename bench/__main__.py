"""`python -m bench`: the cost of a run of the playbooks, with the same API calls made by aws-cli as the baseline.

Everything is measured in one run, on a localcloud started for it. A missed target is printed and fails nothing.
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

from localcloud.testing import CREDENTIALS

from bench.calls import Call, by_aws_cli, by_boto3, distinct, made_by
from bench.measure import NOTE, Line, interleaved, table, verdict
from tests.fleet.cloud import PlaybookCloud

LATENCIES = (0, 80)  # ms; 80 is a call to AWS from another continent
# Targets: the highest ratio to the baseline.
NO_CHANGE_RATIO = {0: 0.17, 80: 0.15}  # per latency; to aws-cli
FIRST_RUN_RATIO = 0.8  # to aws-cli
FOUR_FLEETS_RATIO = 1.6  # to one fleet
# Targets of a run that changes nothing.
CALLS, WRITES = 25, 0
NO_CHANGE = "site.yml, nothing to change, to aws-cli"
HOSTS = ("one", "two", "three", "four")


def inventory(folder: Path) -> str:
    """The path of an inventory of four fleets that share no resource, so that they can be built in parallel."""
    hosts = {
        host: {
            "fleet_name": f"gh-bench-{host}",
            "fleet_repository_name": f"ghosthands-{host}",
            "fleet_secret_name": f"ghosthands/worker/{host}",
            "fleet_log_group_name": f"/wekruit/gh-bench-{host}",
            "fleet_launch_unready": True,  # nothing boots
            "fleet_access_key": CREDENTIALS["aws_access_key_id"],
            "fleet_secret_key": CREDENTIALS["aws_secret_access_key"],
        }
        for host in HOSTS
    }
    file = folder / "hosts.json"
    file.write_text(json.dumps({"fleet": {"hosts": hosts}}))
    return str(file)


class Bench:
    """The measurements, on one localcloud."""

    def __init__(self, cloud: PlaybookCloud, folder: Path) -> None:
        self.cloud = cloud
        self.inventory = inventory(folder)
        self.valet = str(folder / "valet" / "{{ fleet_name }}")

    def site(self, hosts: Sequence[str] = HOSTS[:1], may_change: bool = False) -> None:
        """Run `site.yml` on these fleets.

        Raises RuntimeError if it fails, or changes something without `may_change`.
        """
        run = self.cloud.play(
            "site.yml", "--limit", ",".join(hosts), inventory=self.inventory, fleet_valet_dir=self.valet
        )
        if run.returncode or (run.changed and not may_change):
            raise RuntimeError(f"site.yml on {', '.join(hosts)}: {run}")

    def aws_cli_on_empty_account(self, calls: Sequence[Call]) -> None:
        """Make the calls with aws-cli on an empty account."""
        self.cloud.reset()
        by_aws_cli(self.cloud, calls)

    def site_on_empty_account(self) -> None:
        """Run `site.yml` on an empty account."""
        self.cloud.reset()
        self.site(may_change=True)

    def no_change(self, latency: int, rounds: int) -> list[Line]:
        """A run that changes nothing, its calls made by aws-cli and by boto3, and a run on four fleets."""
        self.cloud.set_latency(latency)
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
            Line("baseline: aws-cli, one process per call", latency, aws, n),
            Line(NO_CHANGE, latency, taken["site"], n, _writes(calls), aws, NO_CHANGE_RATIO[latency]),
            Line("plain boto3, sequential, to aws-cli", latency, taken["boto3"], n, None, aws),
            Line("plain boto3, 16 threads, to aws-cli", latency, taken["threads"], n, None, aws),
            Line(
                "site.yml on four fleets, nothing to change, to one fleet",
                *(latency, taken["four"], None, None, taken["site"], FOUR_FLEETS_RATIO),
            ),
        ]

    def first_run(self, latency: int, rounds: int) -> list[Line]:
        """A run on an empty account, and the same calls by aws-cli."""
        self.cloud.set_latency(latency)
        self.site_on_empty_account()
        calls = made_by(self.cloud)
        once = distinct(calls)
        writes = [c for c in once if c.writes]
        taken = interleaved(
            rounds,
            {
                "site": self.site_on_empty_account,
                "aws": partial(self.aws_cli_on_empty_account, once),
                "writes": partial(self.aws_cli_on_empty_account, writes),
            },
        )
        site = (latency, taken["site"], len(calls), _writes(calls))
        return [
            Line("baseline: aws-cli, each distinct call", latency, taken["aws"], len(once), len(writes)),
            Line("baseline: aws-cli, the writes only", latency, taken["writes"], len(writes), len(writes)),
            Line("site.yml on an empty account, to each distinct call", *site, taken["aws"], FIRST_RUN_RATIO),
            Line("site.yml on an empty account, to the writes only", *site, taken["writes"]),
        ]


def _writes(calls: Sequence[Call]) -> int:
    return sum(c.writes for c in calls)


def measure(rounds: int, cold_rounds: int) -> list[Line]:
    """All measurements, on a localcloud started for them."""
    lines: list[Line] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        PlaybookCloud.start_process(Path(name), propagation_seconds=0) as cloud,  # waits are AWS's, not a program's
    ):
        bench = Bench(cloud, Path(name))
        for latency in LATENCIES if cold_rounds else ():
            log(f"... first run, calls take {latency} ms longer")
            lines += bench.first_run(latency, cold_rounds)
        log("... building four fleets")
        cloud.set_latency(0)
        cloud.reset()
        bench.site(HOSTS, may_change=True)
        for latency in LATENCIES:
            log(f"... nothing to change, calls take {latency} ms longer")
            lines += bench.no_change(latency, rounds)
    return lines


def log(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of runs that change nothing (default: %(default)s)")
    parser.add_argument("--cold-rounds", type=int, default=1, help="of first runs; 0 skips them (default: %(default)s)")
    given = parser.parse_args()
    log(", ".join(f"{package} {version(package)}" for package in ("ansible-core", "boto3", "awscli")))
    log(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; times are unreliable if the load is near the cores")
    lines = measure(given.rounds, given.cold_rounds)
    log(f"\n{table(lines)}\n\n{NOTE}")
    found = next(line for line in lines if line.what == NO_CHANGE)
    met = (found.calls or 0) <= CALLS and found.writes == WRITES
    log(f"Nothing to change: {found.calls} calls, {found.writes} writes")
    log(f"target: at most {CALLS} calls, {WRITES} writes: {verdict(met)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
