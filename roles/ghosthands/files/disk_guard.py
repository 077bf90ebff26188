"""`disk_guard.py PERCENT`: where Docker's disk is fuller than that, in bytes or inodes, remove build cache and images that nothing uses, oldest first.

Never removed: what a container has, running or not, what ran before that (to go back to), what was baked into the machine image, and what has come since
the last look: an image is pulled before its container is made. Exit code 1 where the disk stays too full all the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

DATA = Path("/var/lib/docker")
BAKED = Path("/usr/share/ghosthands/baked-image")
REMEMBERED = "images.json"
DOCKER_SECONDS = 120.0


@dataclass(frozen=True)
class Image:
    """An image of Docker's. `created`: as Docker writes it, RFC 3339 in UTC, so that texts sort as moments do."""

    id: str
    created: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """Ids of images: what ran when somebody last looked, what ran before that, and what there was."""

    running: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def seen(self, running: Collection[str]) -> History:
        """What is remembered once these are seen to run. Nothing running is no news: a worker that is stopped runs the same image again."""
        now = tuple(sorted(running))
        return self if not now or now == self.running else replace(self, running=now, previous=self.running)


def removable(images: Iterable[Image], kept: Collection[str], known: Collection[str]) -> list[Image]:
    """The images that may go, the oldest first: those that somebody has seen before and nothing keeps."""
    return sorted(
        (image for image in images if image.id in known and image.id not in kept), key=lambda image: image.created
    )


def fullness(found: os.statvfs_result) -> float:
    """How full a file system is, 0 to 100, in bytes or inodes, whichever is fuller. One without a fixed number of inodes says 0 of them."""
    used = found.f_blocks - found.f_bfree
    bytes_used = used / (used + found.f_bavail) if used + found.f_bavail else 0.0
    inodes_used = 1 - found.f_favail / found.f_files if found.f_files else 0.0
    return 100 * max(bytes_used, inodes_used)


def make_room(full: Callable[[], float], limit: float, steps: Iterable[Callable[[], None]]) -> bool:
    """Take steps until it is less full than `limit`; whether that came about."""
    if full() < limit:
        return True
    for step in steps:
        step()
        if full() < limit:
            return True
    return False


# --- Docker ------------------------------------------------------------------------------------------------------------------------------


def docker(*words: str) -> str:
    """What `docker WORDS` prints. Raises subprocess.SubprocessError."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=DOCKER_SECONDS).stdout


def images() -> list[Image]:
    ids = sorted(set(docker("image", "ls", "--all", "--quiet", "--no-trunc").split()))
    described = json.loads(docker("image", "inspect", *ids)) if ids else []
    return [
        Image(one["Id"], one["Created"], (*(one["RepoTags"] or ()), *(one["RepoDigests"] or ()))) for one in described
    ]


def of_containers(*options: str) -> set[str]:
    """Ids of the images that containers were made of."""
    containers = docker("ps", "--quiet", "--no-trunc", *options).split()
    return set(docker("inspect", "--format", "{{.Image}}", *containers).split()) if containers else set()


def baked(there: Iterable[Image]) -> set[str]:
    name = BAKED.read_text(encoding="utf-8").strip() if BAKED.exists() else ""
    return {image.id for image in there if name in image.names}


def remove(image: Image) -> None:
    """By its names, else by its id. Docker itself refuses what a container has or another image stands on; that stays."""
    words = ["docker", "image", "rm", *(image.names or (image.id,))]
    done = subprocess.run(words, capture_output=True, check=False, timeout=DOCKER_SECONDS)
    if done.returncode == 0:
        print(f"removed image {', '.join(image.names) or image.id}", file=sys.stderr)


def steps(may_go: Iterable[Image]) -> Iterator[Callable[[], None]]:
    """What can be done about a full disk, the cheapest to lose first."""
    yield lambda: print(f"build cache: {docker('builder', 'prune', '--force').splitlines()[-1]}", file=sys.stderr)
    for image in may_go:
        yield lambda image=image: remove(image)  # type: ignore[misc]


def main(limit: float, memory: Path) -> int:
    """Look, remember, make room; exit code 0 or 1."""
    file = memory / REMEMBERED
    history = (
        History(**{key: tuple(ids) for key, ids in json.loads(file.read_text()).items()})
        if file.exists()
        else History()
    )
    history, known = history.seen(of_containers()), history.known
    there = images()
    new = file.with_suffix(".new")
    new.write_text(json.dumps(asdict(replace(history, known=tuple(image.id for image in there)))))
    new.rename(file)
    kept = {*of_containers("--all"), *history.running, *history.previous, *baked(there)}
    if make_room(lambda: fullness(os.statvfs(DATA)), limit, steps(removable(there, kept, known))):
        return 0
    print(f"{DATA}: {fullness(os.statvfs(DATA)):.0f} % full, and nothing is left that may be removed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), Path(os.environ["STATE_DIRECTORY"])))
