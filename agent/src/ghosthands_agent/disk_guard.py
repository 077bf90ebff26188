"""Remove build cache and unused images, oldest first, where Docker's disk is too full in bytes or inodes.

Never removed: the image of any container, running or not; the image that ran before it, for a rollback; the image baked
into the machine image; and an image that appeared since the last run, since an image is pulled before its container is
created.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .paths import Paths

DATA = Path("/var/lib/docker")
STATE_FILE = "images.json"
DOCKER_SECONDS = 120.0


@dataclass(frozen=True)
class Image:
    """A Docker image. `created` is as Docker writes it, RFC 3339 in UTC, so that sorting as text sorts by time."""

    id: str
    created: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """Image ids: those running at the last run, those running before that, and all that existed."""

    running: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def seen(self, running: Collection[str]) -> History:
        """The history after these are found running.

        If nothing runs, it does not change: a worker that is stopped will run the same image again.
        """
        now = tuple(sorted(running))
        return self if not now or now == self.running else replace(self, running=now, previous=self.running)


def removable(images: Iterable[Image], kept: Collection[str], known: Collection[str]) -> list[Image]:
    """The images that may be removed, oldest first: known from the last run and not in `kept`."""
    return sorted(
        (image for image in images if image.id in known and image.id not in kept), key=lambda image: image.created
    )


def fullness(found: os.statvfs_result) -> float:
    """How full a file system is, 0 to 100: the greater of bytes and inodes.

    A file system without a fixed number of inodes reports 0 of them.
    """
    used = found.f_blocks - found.f_bfree
    bytes_used = used / (used + found.f_bavail) if used + found.f_bavail else 0.0
    inodes_used = 1 - found.f_favail / found.f_files if found.f_files else 0.0
    return 100 * max(bytes_used, inodes_used)


def make_room(full: Callable[[], float], limit: float, steps: Iterable[Callable[[], None]]) -> bool:
    """Run steps until `full()` is below `limit`; whether that was reached."""
    if full() < limit:
        return True
    for step in steps:
        step()
        if full() < limit:
            return True
    return False


# --- Docker ---


def docker(*arguments: str) -> str:
    """The output of `docker ARGUMENTS`. Raises subprocess.SubprocessError."""
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=DOCKER_SECONDS
    ).stdout


def images() -> list[Image]:
    """All of Docker's images."""
    ids = sorted(set(docker("image", "ls", "--all", "--quiet", "--no-trunc").split()))
    described = json.loads(docker("image", "inspect", *ids)) if ids else []
    return [
        Image(one["Id"], one["Created"], (*(one["RepoTags"] or ()), *(one["RepoDigests"] or ()))) for one in described
    ]


def container_images(*options: str) -> set[str]:
    """Ids of the images of containers; `options` are those of `docker ps`."""
    containers = docker("ps", "--quiet", "--no-trunc", *options).split()
    return set(docker("inspect", "--format", "{{.Image}}", *containers).split()) if containers else set()


def baked(existing: Iterable[Image]) -> set[str]:
    """Ids of the image that was baked into the machine image, if any."""
    file = Paths().baked_image
    name = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    return {image.id for image in existing if name in image.names}


def remove(image: Image) -> None:
    """Remove an image by its names, or by its id if it has none.

    Docker refuses if a container uses the image or another image is based on it. Then it stays.
    """
    command = ["docker", "image", "rm", *(image.names or (image.id,))]
    completed = subprocess.run(command, capture_output=True, check=False, timeout=DOCKER_SECONDS)
    if completed.returncode == 0:
        print(f"removed image {', '.join(image.names) or image.id}", file=sys.stderr)


def steps(unused: Iterable[Image]) -> Iterator[Callable[[], None]]:
    """What frees space, the least valuable first."""
    yield lambda: print(f"build cache: {docker('builder', 'prune', '--force').splitlines()[-1]}", file=sys.stderr)
    for image in unused:
        yield lambda image=image: remove(image)  # type: ignore[misc]


def main(limit: float, state_directory: Path) -> int:
    """Free space where the disk is fuller than `limit` percent; 1 if it stays too full, else 0."""
    file = state_directory / STATE_FILE
    history = History()
    if file.exists():
        history = History(**{key: tuple(ids) for key, ids in json.loads(file.read_text()).items()})
    history, known = history.seen(container_images()), history.known
    existing = images()
    new = file.with_suffix(".new")
    new.write_text(json.dumps(asdict(replace(history, known=tuple(image.id for image in existing)))))
    new.rename(file)
    kept = {*container_images("--all"), *history.running, *history.previous, *baked(existing)}
    if make_room(lambda: fullness(os.statvfs(DATA)), limit, steps(removable(existing, kept, known))):
        return 0
    print(f"{DATA}: {fullness(os.statvfs(DATA)):.0f} % full, and no image is left to remove", file=sys.stderr)
    return 1
