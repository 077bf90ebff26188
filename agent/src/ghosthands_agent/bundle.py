"""A support bundle of this host: its journal, records, containers, boot logs and the doctor's findings, masked here.

Nothing leaves the host unmasked: every text goes through one mask, made of every `.env` of this host, of the values
that containers still have of these keys, and of docker's logins. agent.conf holds no secret and is in it as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .command import Command
from .docker import Docker
from .doctor import examine
from .doctor import table as doctor_table
from .files import error_name
from .journal_file import matches
from .masking import ESCAPES, LINE, Mask, mask_of, public_text
from .paths import Paths
from .ports import PortError, Unavailable

#: Of each text the end, which says what went wrong last. A bundle is some hundred KiB then.
MOST_CHARACTERS = 1_000_000
JOURNAL_LINES, CONTAINER_LINES = 20_000, 5_000
COMMAND_SECONDS = 10.0
MOST_CONTAINERS = 20
#: Files as they are, besides agent.conf. The journal has what the agent did.
RECORDS = (
    "etc/ghosthands/image.json",
    "run/ghosthands/*.json",
    "var/lib/ghosthands/*.json",
    "run/cloud-init/result.json",
)
LOGS = "var/log/cloud-init-output.log", "var/log/cloud-init.log"
HOST = {
    "disk": ("df", "--human-readable"),
    "inodes": ("df", "--inodes"),
    "memory": ("free", "--mebi"),
    "processes": ("ps", "-eo", "pid,ppid,stat,etimes,rss,comm"),
    "units": ("systemctl", "--no-pager", "list-units", "--all", "ghosthands-*", "docker.service", "xvfb.service"),
}


class NoBundle(Exception):
    """A bundle could not be made; the text says why, and nothing was written."""


def write_bundle(target: Path, config: Path, paths: Paths) -> int:
    """Write the bundle to `target`, 0600, and print `{path, bytes, sha256}` as JSON; 0. Raises NoBundle."""
    mask = _mask(config, paths)
    packed = _packed(dict(_masked(_texts(config, paths), mask)))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(packed)
    except OSError as problem:
        raise NoBundle(f"{target} cannot be written: {error_name(problem)}") from None
    print(json.dumps({"path": str(target), "bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()}))
    return 0


def _masked(texts: Iterator[tuple[str, str]], mask: Mask) -> Iterator[tuple[str, str]]:
    for name, text in texts:
        yield name, mask(ESCAPES.sub("", text.replace("\r\n", "\n")))


def _packed(texts: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        for name, text in texts.items():
            data = text.encode(errors="replace")
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue()


# --- the mask ---


def _mask(config: Path, paths: Paths) -> Mask:
    """Raises NoBundle where it is not known what is secret."""
    environments = []
    for file in sorted(paths.project.glob(".env*")):  # a renewal keeps the one before, and writes the next one
        try:
            environments.append(file.read_text(encoding="utf-8", errors="replace"))
        except OSError as problem:
            raise NoBundle(
                f"{file} cannot be read ({error_name(problem)}), so it is not known what is secret."
            ) from None
    keys = {found[1] for text in environments for line in text.split("\n") if (found := LINE.match(line))}
    logins = _logins(paths)
    assignments = [f"{key}={json.dumps(value)}" for key, value in _of_containers(paths, keys)]
    return mask_of("\n".join([*environments, *assignments, *logins]), f"{public_text(paths)}\n{_file(config)}")


def _logins(paths: Paths) -> Iterator[str]:
    """Docker's logins, as lines of a `.env`."""
    try:
        document = json.loads((paths.docker_config / "config.json").read_text(encoding="utf-8"))
        for number, login in enumerate(document.get("auths", {}).values()):
            yield from (f"LOGIN_{number}={value}" for value in login.values() if isinstance(value, str))
    except (OSError, ValueError, AttributeError):
        return


def _of_containers(paths: Paths, keys: set[str]) -> Iterator[tuple[str, str]]:
    """The values that containers have of these keys: a worker that runs on has those of an earlier secret."""
    for container in _inspected(paths):
        for assignment in (container.get("Config") or {}).get("Env") or ():
            key, _equals, value = assignment.partition("=")
            if key in keys:
                yield key, value


# --- what is in it ---


def _texts(config: Path, paths: Paths) -> Iterator[tuple[str, str]]:
    """name -> text, unmasked."""
    yield "agent.conf", _file(config)
    for pattern in RECORDS:
        for file in sorted(paths.root.glob(pattern)):
            yield f"records/{file.name}", _file(file)
    yield "records/env-keys.txt", _keys(paths)
    for file in (paths.compose_file, paths.override):
        yield f"compose/{file.name}", _file(file)
    for name in LOGS:
        yield f"logs/{Path(name).name}", _file(paths.root / name)
    journal = ("journalctl", "--no-pager", "--quiet", "--utc", "--output=short-iso-precise", f"--lines={JOURNAL_LINES}")
    yield "journal.txt", _output(*journal, *matches())
    for name, command in HOST.items():
        yield f"host/{name}.txt", _output(*command)
    yield from _docker(paths)
    findings = list(examine(config, paths))
    yield "doctor.txt", doctor_table(findings)


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_CHARACTERS))
            return file.read().decode("utf-8", errors="replace")
    except OSError as problem:
        return f"{path} cannot be read: {error_name(problem)}\n"


def _keys(paths: Paths) -> str:
    """The keys of the `.env`, without their values."""
    return "\n".join(found[1] for line in _file(paths.environment).split("\n") if (found := LINE.match(line))) + "\n"


def _output(*command: str) -> str:
    """What a command prints, or why it could not be asked."""
    return _said(command[0], lambda: Command(command, end=True))


def _said(name: str, start: Callable[[], Command]) -> str:
    try:
        done = start().wait(COMMAND_SECONDS)
    except Unavailable as problem:
        return f"{name}: {problem.code}\n"
    return done.output + done.errors + (f"{name}: exit code {done.code}\n" if done.code else "")


def _docker(paths: Paths) -> Iterator[tuple[str, str]]:
    docker = Docker(paths)

    def asked(*arguments: str) -> str:
        return _said(f"docker {arguments[0]}", lambda: docker.start(*arguments, end=True))

    yield "docker/version.txt", asked("version")
    yield "docker/ps.txt", asked("ps", "--all", "--no-trunc")
    yield "docker/images.txt", asked("images", "--digests", "--no-trunc")
    containers = _inspected(paths)
    yield "docker/inspect.json", json.dumps([_without_environment(each) for each in containers], indent=1)
    for each in containers[:MOST_CONTAINERS]:
        name = str(each.get("Name", "")).strip("/").replace("/", "_") or str(each.get("Id", ""))[:12]
        yield (
            f"docker/logs/{name}.log",
            asked("logs", "--timestamps", "--tail", str(CONTAINER_LINES), str(each.get("Id", name))),
        )


def _inspected(paths: Paths) -> Sequence[dict[str, Any]]:
    """`docker inspect` of every container; none where docker does not answer."""
    docker = Docker(paths)
    with contextlib.suppress(PortError, ValueError):
        if ids := docker.run("ps", "--all", "--quiet", "--no-trunc", seconds=COMMAND_SECONDS).split():
            found = json.loads(docker.run("inspect", *ids, seconds=COMMAND_SECONDS))
            return [each for each in found if isinstance(each, dict)]
    return []


def _without_environment(container: Mapping[str, Any]) -> dict[str, Any]:
    return {**container, "Config": {k: v for k, v in (container.get("Config") or {}).items() if k != "Env"}}
