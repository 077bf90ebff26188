"""Runs Packer as `.ci/image` does."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.image.cloud import ImageCloud

#: This machine's address in localcloud's network, from which Packer logs in.
ACCESS = 'access={session_manager=false,cidrs=["172.28.0.1/32"]}'
BAKE_SECONDS = 420


@dataclass(frozen=True)
class Outcome:
    """A build's exit code, output, wall time in seconds, and the images in its manifest: region -> id."""

    code: int
    output: str
    seconds: float
    images: Mapping[str, str]


def build(
    packer: str, template: Path, cloud: ImageCloud, *variables: str, environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run `packer build` on a copy of the template."""
    manifest = template.parent / "build/image/manifest.json"
    manifest.unlink(missing_ok=True)
    all_variables = (f"ec2_endpoint={cloud.url}", ACCESS, *variables)
    words = [
        packer,
        "build",
        "-color=false",
        *(word for variable in all_variables for word in ("-var", variable)),
        str(template),
    ]
    started = time.monotonic()
    done = subprocess.run(
        words,
        cwd=template.parent,
        env={**cloud.environment, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BAKE_SECONDS,
        check=False,
    )
    return Outcome(
        done.returncode, done.stdout, time.monotonic() - started, images(manifest) if manifest.exists() else {}
    )


def images(manifest: Path) -> dict[str, str]:
    """The images of the manifest's last build: region -> id."""
    content = json.loads(manifest.read_text(encoding="utf-8"))
    (last,) = [made for made in content["builds"] if made["packer_run_uuid"] == content["last_run_uuid"]]
    return dict(part.split(":") for part in last["artifact_id"].split(","))
