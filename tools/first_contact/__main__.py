"""`python -m tools.first_contact`: looks at an AWS account for what is believed of AWS and was never seen there.

Without options it only prints what it would do. docs/first-contact.md says more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))  # as pyproject.toml has it for the tests

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tools.first_contact import policy
from tools.first_contact.account import Account, cleaned_up, console_output, masked, text
from tools.first_contact.catalogue import PROBES
from tools.first_contact.leftovers import delete_leftovers
from tools.first_contact.probe import NOT_LOOKED_AT, Answer, NotLookedAt, Probe

ROOT = Path(__file__).parents[2]
JSON = ROOT / "build/first-contact.json"


def main(
    arguments: Sequence[str] | None = None,
    *,
    console: Callable[[Account, str], str] = console_output,
    poll: float = 5.0,
    patience: float = 1.0,
) -> int:
    """Exit code 0 where nothing is refuted and nothing is left, 1 otherwise, 2 for wrong options."""
    options = parsed(arguments)
    chosen = [one for one in PROBES if not options.only or one.name in options.only]
    if options.policy:
        print(json.dumps(policy.document(), indent=2))
        return 0
    if not (options.read or options.yes or options.clean):
        print(plan(chosen))
        return 0
    region = options.region or boto3.session.Session().region_name
    if not region:
        print("first-contact: no region: set AWS_DEFAULT_REGION or --region", file=sys.stderr)
        return 2
    account = Account(region, console=console, poll=poll, patience=patience, subnets=tuple(options.subnet))
    try:
        number = account.id
        if options.clean:
            left = delete_leftovers(account)
            print("\n".join(left) if left else "first-contact: nothing is left of earlier runs")
            return 1 if left else 0
        if options.yes:
            _ = account.subnets
    except (ClientError, BotoCoreError, NotLookedAt) as error:
        print(f"first-contact: {error}", file=sys.stderr)
        return 2
    print(f"first-contact: account {number}, {region}, run {account.run}", file=sys.stderr)
    results = list[dict[str, Any]]()
    interrupted = False
    try:
        with cleaned_up(account):
            for one in chosen:
                results.append(looked(one, account, writes=options.yes))
    except KeyboardInterrupt:
        interrupted = True
        print("first-contact: interrupted", file=sys.stderr)
    document = {
        "schema": 1,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": region,
        "endpoint": os.environ.get("AWS_ENDPOINT_URL", "AWS"),
        "revision": revision(),
        "complete": not interrupted and not options.only and options.yes,
        "probes": results,
        "made": account.log,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(masked(document, number), encoding="utf-8")
    verdicts = [result["verdict"] for result in results]
    print(", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts))) + f": {options.json}")
    left_behind = [entry for entry in account.log if entry["deleted"] != "yes"]
    return 130 if interrupted else 1 if "refuted" in verdicts or left_behind else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. Exits with 2 for wrong ones."""
    parser = argparse.ArgumentParser(prog="python -m tools.first_contact", description=__doc__)
    parser.add_argument("--read", action="store_true", help="run the probes that only read")
    parser.add_argument("--yes", action="store_true", help="run all of them: make what --plan lists, and delete it")
    parser.add_argument("--plan", action="store_true", help="print what would be made, and cost (the default)")
    parser.add_argument("--policy", action="store_true", help="print the policy that the caller needs")
    parser.add_argument("--clean", action="store_true", help="delete what earlier runs have left")
    parser.add_argument("--only", action="append", default=[], metavar="PROBE", help="this probe; may be repeated")
    parser.add_argument("--subnet", action="append", default=[], help="for instances; default: two default subnets")
    parser.add_argument("--region", help="default: that of your credentials")
    parser.add_argument("--json", type=Path, default=JSON, help="the file of results (%(default)s)")
    options = parser.parse_args(arguments)
    names = [one.name for one in PROBES]
    for name in options.only:
        if name not in names:
            parser.error(f"--only {name}: there is no such probe; there are {', '.join(names)}")
    if options.plan and (options.yes or options.read or options.clean):
        parser.error("--plan only prints: leave out --yes, --read and --clean")
    return options


def plan(chosen: Sequence[Probe]) -> str:
    """What would be made, how long it takes, what it costs."""
    lines = [f"{'':3}{'probe':30}{'minutes':>8}{'USD':>7}  what is believed"]
    for one in chosen:
        mark = "W" if one.writes else ""
        lines.append(f"{mark:3}{one.name:30}{one.minutes:8.1f}{one.dollars:7.2f}  {one.claim}")
    minutes, dollars = sum(one.minutes for one in chosen), sum(one.dollars for one in chosen)
    return "\n".join(
        [
            *lines,
            f"{'':3}{'total':30}{minutes:8.1f}{dollars:7.2f}",
            "",
            "W: makes something, or asks for it, and needs --yes; --read runs the others.",
            "Made are: a launch template, an Auto Scaling group of up to 2 t3.micro with 8 GiB, 2 roles, an instance",
            "profile, and volumes where EBS accepts more than we believe: all named gh-first-contact-* and tagged so.",
            "They are deleted at the end, also after Ctrl-C; after a power cut, --clean deletes them.",
            "--policy prints the permissions that a caller needs.",
        ]
    )


def looked(one: Probe, account: Account, *, writes: bool) -> dict[str, Any]:
    """Run a probe; its result for JSON, which is also printed."""
    began = time.monotonic()
    try:
        if one.writes and not writes:
            raise NotLookedAt("it writes: --yes")
        answer = one.look(account)
    except NotLookedAt as reason:
        answer = Answer(NOT_LOOKED_AT, str(reason))
    except ClientError as error:
        answer = Answer(NOT_LOOKED_AT, text(error))
    except BotoCoreError as error:
        answer = Answer(NOT_LOOKED_AT, str(error))
    print(f"{answer.verdict:14} {one.name}: {answer.observed}", flush=True)
    return {
        "name": one.name,
        "claim": one.claim,
        "source": one.source,
        **answer.as_dict(),
        "seconds": round(time.monotonic() - began, 1),
    }


def revision() -> str:
    """This checkout's commit."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
