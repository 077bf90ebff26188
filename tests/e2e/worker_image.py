"""The stand-in worker's image: a minimal Debian, bun, and the stand-in of the guard's tests on PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = Path(__file__).with_name("worker")
STAND_IN = ROOT / "agent/tests/guard/stand_in"
#: The image's label in its Dockerfile: only such images are ever removed.
LABEL = "ghosthands=stand-in"
#: As the worker's own repository builds it, and README names it.
NAME = "ghosthands:latest"


def output_of(*command: str | Path, **environment: str) -> str:
    """What a command prints, stripped. Raises CalledProcessError; its errors are shown."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def images() -> list[str]:
    """The ids of all stand-in images that this machine's Docker has."""
    return output_of("docker", "images", "--quiet", "--filter", f"label={LABEL}").split()


def remove() -> None:
    """Remove them all. One that others were made from can be removed once these are gone. Raises CalledProcessError."""
    while found := set(images()):
        done = subprocess.run(["docker", "rmi", "--force", *found], stdout=subprocess.DEVNULL, check=False)
        if set(images()) == found:
            done.check_returncode()


def build(name: str = NAME) -> None:
    """Build the image. Raises CalledProcessError, and ValueError where the name is somebody's own image."""
    others = set(output_of("docker", "images", "--quiet", name).split()) - set(images())
    if others:
        raise ValueError(f"this machine's Docker has an image {name} of its own; give that another name first")
    base = output_of(sys.executable, "-m", "tools.images", "worker")
    bun = output_of(".ci/bun")
    with tempfile.TemporaryDirectory(prefix="gh-worker-image-") as folder:
        context = Path(folder)
        source = context / "app/packages/ghosthands/src"
        shutil.copytree(STAND_IN, source)
        shutil.copytree(OWN, source, dirs_exist_ok=True)
        (source / "scripts").rename(context / "app/scripts")
        (source / "Dockerfile").rename(context / "Dockerfile")
        shutil.copy(bun, context / "bun")
        # The builder that every Docker has: nothing is pulled, and BuildKit's plugin need not be there.
        words = ["docker", "build", "--quiet", "--build-arg", f"BASE={base}", "--tag", name, folder]
        output_of(*words, DOCKER_BUILDKIT="0")
