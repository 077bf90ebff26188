"""`find_forbidden.py KINDS [ID...]` prints what must not be in the image, as JSON.

KINDS is the JSON of vars/image_forbidden.yml. Each ID names the builder; without one the metadata service is asked.
Every file of the disks is read: its content, its path and a link's target must hold none of these. Two places may hold
the account's number: the name of an ECR registry, and anything if the number is AWS's example, which packages contain.

It looks at the disks as an image will hold them: what is mounted over them (/proc, memory file systems) is not there.
Compressed content is not unpacked, and free blocks are not read.

Runs as root on the builder's own Python, 3.9 on Amazon Linux 2023.
"""

from __future__ import annotations

import glob
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

METADATA = "http://169.254.169.254/latest/"
TIMEOUT_SECONDS = 5
#: In the examples of AWS's documentation, and so in botocore's files (and localcloud's account).
EXAMPLE_ACCOUNT = "123456789012"
CHUNK = 4 << 20
#: How many lines are shown.
SHOWN = 20
MACHINE_ID = "/etc/machine-id"


def forbidden(kinds: list[dict[str, Any]], root: str) -> list[str]:
    """A line for each path below root that matches a pattern of a kind, and for a machine ID."""
    found = [
        f"{kind['what']}: {path[len(root) :]}"
        for kind in kinds
        for pattern in kind["paths"]
        for path in sorted(glob.glob(glob.escape(root) + pattern))
    ]
    machine_id = root + MACHINE_ID
    if os.path.exists(machine_id) and os.path.getsize(machine_id):
        found.append(f"a machine ID that every instance would share: {MACHINE_ID}")
    return found


def builder() -> list[str]:
    """What names this instance, by its metadata service: its ID, account, host names, public address and MAC address.

    Raises OSError. The private address is not among them: packages' examples may contain it.
    """
    token = _metadata("api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    headers = {"X-aws-ec2-metadata-token": token}
    document = json.loads(_metadata("dynamic/instance-identity/document", headers=headers))
    named = [document["instanceId"]]
    if document["accountId"] != EXAMPLE_ACCOUNT:
        named.append(document["accountId"])
    for path in ("local-hostname", "public-hostname", "public-ipv4", "mac"):
        try:
            value = _metadata(f"meta-data/{path}", headers=headers)
        except urllib.error.HTTPError as error:
            if error.code != 404:  # it has none
                raise
        else:
            named.append(value.split(".", maxsplit=1)[0] if path.endswith("hostname") else value)
    return [name for name in named if name]


def _metadata(path: str, *, method: str = "GET", headers: dict[str, str]) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(METADATA + path, method=method, headers=headers)
    with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
        return str(answer.read().decode())


class Search:
    """A search for what names the builder."""

    def __init__(self, ids: list[str]) -> None:
        self.literals = [one.encode() for one in ids]
        # Not within a longer number, as 10.0.0.1 is in 10.0.0.12.
        whole = b"|".join(map(re.escape, self.literals))
        self.whole = re.compile(rb"(?<![0-9])(?:%s)(?![0-9]|\.dkr\.ecr[.-])" % whole)
        #: More than an ID and what the expression looks at beside it.
        self.margin = max(map(len, self.literals)) + 16
        self.bytes = 0

    def names(self, data: bytes, start: int, stop: int) -> str:
        """The first of the IDs that is in data and begins and ends between start and stop; empty if none does."""
        if any(literal in data for literal in self.literals):
            for match in self.whole.finditer(data):
                if start <= match.start() and match.end() <= stop:
                    return match[0].decode()
        return ""

    def name(self, text: str) -> str:
        """The first of the IDs that is in a path or a link's target; empty if none is."""
        data = os.fsencode(text)
        return self.names(data, 0, len(data))

    def content(self, path: str) -> str:
        """The first of the IDs that is in a file's content; empty if none is."""
        with open(path, "rb", buffering=0) as file:
            data, start = file.read(CHUNK), 0
            self.bytes += len(data)
            while True:
                more = file.read(CHUNK)
                self.bytes += len(more)
                # What is near to the end is looked at with what follows it.
                found = self.names(data, start, len(data) - self.margin if more else len(data))
                if found or not more:
                    return found
                kept = data[-3 * self.margin :]
                data, start = kept + more, max(0, len(kept) - 2 * self.margin)

    def below(self, root: str) -> Iterator[str]:
        """A line for each path below root that holds one of the IDs, sorted."""
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(files + folders):
                path = os.path.join(folder, name)
                try:
                    mode = os.lstat(path).st_mode
                    found = self.name(name)
                    if not found and stat.S_ISLNK(mode):
                        found = self.name(os.readlink(path))
                    elif not found and stat.S_ISREG(mode):
                        found = self.content(path)
                except FileNotFoundError:  # removed meanwhile
                    continue
                if found:
                    shown = os.fsencode(path[len(root) :]).decode(errors="replace")
                    yield f"what names the builder ({found}): {shown}"


def disks(mounts: str) -> list[str]:
    """Where a disk is mounted besides /, of the lines of mountinfo (proc_pid_mountinfo(5)), outermost first."""
    found: dict[tuple[str, str], str] = {}
    for line in mounts.splitlines():
        fields, _dash, rest = line.partition(" - ")
        device, inside, path = fields.split()[2:5]
        path = path.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
        if path != "/" and rest.split()[1].startswith("/dev/") and os.path.isdir(path):
            found.setdefault((device, inside), path)
    return sorted(found.values())


def look(kinds: list[dict[str, Any]], ids: list[str], root: str) -> dict[str, Any]:
    """All lines for a tree, what was searched for, how much was read, and how long it took."""
    began = time.monotonic()
    search = Search(ids)
    found = [*forbidden(kinds, root), *search.below(root)]
    if len(found) > SHOWN:
        found[SHOWN:] = [f"{len(found) - SHOWN} more"]
    megabytes, seconds = search.bytes // 10**6, round(time.monotonic() - began, 1)
    return {"found": found, "ids": ids, "megabytes": megabytes, "seconds": seconds}


def main() -> int:
    """Print the answer. Exit code 1 with an error if what names the builder is not known."""
    kinds, ids = json.loads(sys.argv[1]), sys.argv[2:]
    if os.environ.get("GH_FIND_FORBIDDEN") != "private":
        # Mounts of its own, which end with it.
        environment = {**os.environ, "GH_FIND_FORBIDDEN": "private"}
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", *sys.argv]
        return subprocess.run(words, env=environment, check=False).returncode
    try:
        ids = ids or builder()
    except (OSError, ValueError, KeyError) as error:
        message = (
            f"the metadata service does not say which instance this is ({error}): set image_builder to what names it"
        )
        print(json.dumps({"error": message}))
        return 0
    root = tempfile.mkdtemp(dir="/run")
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            others = disks(file.read())
        for path in ("", *others):
            subprocess.run(["mount", "--bind", path or "/", root + path], check=True)
        print(json.dumps(look(kinds, ids, root)))
    finally:
        subprocess.run(["umount", "--recursive", root], check=False, stderr=subprocess.DEVNULL)
        os.rmdir(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
