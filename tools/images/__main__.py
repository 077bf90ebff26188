"""`python -m tools.images al2023|debian12|debian13|worker`: builds a test image if its recipe changed; prints its name.

GH_TEST_IMAGE names an existing Docker image to use as al2023 instead, such as Amazon's own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tools.images import al2023, debian, debian_instance, worker

HERE = Path(__file__).parent


class Recipe(NamedTuple):
    """How an image is made.

    Attributes:
        repository: the image's name without its tag.
        fill: makes the root file system; takes its directory, a work folder and a log function. Raises BuildError.
        files: patterns of the recipe's files in this folder; their contents determine the image's tag.
    """

    repository: str
    fill: Callable[[Path, Path, Callable[[str], None]], None]
    files: tuple[str, ...]


DEBIAN = ("__main__.py", "debian.py", "debian_instance.py")
RECIPES = {
    "al2023": Recipe(
        "gh-test-al2023-lookalike", al2023.fill, ("__main__.py", "debian.py", "rpms.py", "al2023.py", "al2023/**/*")
    ),
    "debian12": Recipe("gh-test-debian12", partial(debian_instance.fill, "bookworm"), DEBIAN),
    "debian13": Recipe("gh-test-debian13", partial(debian_instance.fill, "trixie"), DEBIAN),
    "worker": Recipe("gh-test-worker-base", worker.fill, ("__main__.py", "debian.py", "worker.py")),
}


def image_name(recipe: str) -> str:
    """The image's name; its tag is a hash of the recipe's files."""
    if recipe == "al2023" and (named := os.environ.get("GH_TEST_IMAGE")):
        return named
    digest = hashlib.sha256()
    for file in sorted({file for pattern in RECIPES[recipe].files for file in HERE.glob(pattern) if file.is_file()}):
        digest.update(f"{file.relative_to(HERE)}\0".encode() + file.read_bytes())
    return f"{RECIPES[recipe].repository}:{digest.hexdigest()[:12]}"


def exists(name: str) -> bool:
    """Whether this machine's Docker has the image. Raises BuildError if Docker does not answer."""
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True).returncode == 0:
        return True
    debian.run("docker", "version")
    return False


def seal(root: Path) -> None:
    """Remove host keys, machine id, host name and resolver: every container makes its own."""
    for path in (*root.glob("etc/ssh/ssh_host_*"), root / "etc/resolv.conf", root / "etc/hostname"):
        path.unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("", encoding="utf-8")


def build(recipe: str, name: str) -> None:
    """Build the image. Raises BuildError, and then leaves no image."""
    debian.install_tools()
    started = time.monotonic()

    def log(line: str) -> None:
        print(f"images: {time.monotonic() - started:4.0f} s  {line}", file=sys.stderr, flush=True)

    log(f"building {name}; a few minutes")
    with tempfile.TemporaryDirectory(prefix="gh-test-image-", dir="/var/tmp") as folder:
        root = Path(folder, "root")
        RECIPES[recipe].fill(root, Path(folder), log)
        seal(root)
        log("importing into Docker")
        # An archive first: Docker would make an image of an incomplete stream.
        archive = Path(folder, "root.tar")
        debian.run("tar", "-C", root, "--numeric-owner", "-cf", archive, ".")
        debian.run(
            "docker", "import", "--change", 'CMD ["/sbin/init"]', "--change", "ENV container=docker", archive, name
        )
    size = int(debian.run("docker", "image", "inspect", "--format", "{{.Size}}", name)) // 10**6
    log(f"{name} is built: {size} MB")


def main() -> int:
    """Build if necessary and print the name. Exit code 1 and one message on failure."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--print-name", action="store_true", help="print the name only, build nothing")
    options = parser.parse_args()
    name = image_name(options.recipe)
    try:
        if not options.print_name and not exists(name):
            if name == os.environ.get("GH_TEST_IMAGE"):
                raise debian.BuildError(f"GH_TEST_IMAGE is {name}, which this Docker does not have: docker pull {name}")
            build(options.recipe, name)
    except debian.BuildError as problem:
        print(f"images: {problem}", file=sys.stderr)
        return 1
    print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
