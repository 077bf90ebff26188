"""Packer, run as `.ci/image` runs it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.image.cloud import ImageCloud

#: This machine in localcloud's network, whence Packer logs in.
ACCESS = 'access={session_manager=false,cidrs=["172.28.0.1/32"]}'
BAKE_SECONDS = 420


@dataclass(frozen=True)
class Outcome:
    """How a build ended: exit code, all that it said, wall time in seconds, and the images by region that its manifest names."""

    code: int
    output: str
    seconds: float
    images: Mapping[str, str]

    @property
    def errors(self) -> list[str]:
        """The lines that end a failed build, each once: what its operator reads."""
        found = re.findall(r"^(?:Error: |--> \S+: |\* |==> \S+: Error )(.+)$", self.output, re.MULTILINE)
        return list(dict.fromkeys(line for line in found if "were created" not in line))


def build(
    packer: str, template: Path, cloud: ImageCloud, *variables: str, environment: Mapping[str, str] | None = None
) -> Outcome:
    """``packer build`` of a template that stands in its own tree."""
    manifest = template.parent / "build/image/manifest.json"
    manifest.unlink(missing_ok=True)
    given = (f"ec2_endpoint={cloud.url}", ACCESS, *variables)
    words = [
        packer,
        "build",
        "-color=false",
        *(word for variable in given for word in ("-var", variable)),
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
    """The images by region of the manifest's last build."""
    said = json.loads(manifest.read_text(encoding="utf-8"))
    (last,) = [made for made in said["builds"] if made["packer_run_uuid"] == said["last_run_uuid"]]
    return dict(part.split(":") for part in last["artifact_id"].split(","))
