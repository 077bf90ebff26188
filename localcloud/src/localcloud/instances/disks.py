"""A machine's disks: its container's own layer, and volumes for what cannot lie on that; an image holds both."""

from __future__ import annotations

import contextlib
from pathlib import Path

from localcloud.instances.docker import HostError, command, docker

#: Folders that are volumes: Docker inside keeps its layers there, and overlayfs cannot lie on overlayfs.
VOLUMES = ("/var/lib/docker", "/var/lib/containerd")
#: Where an image has them, until the machine that boots it unpacks them.
ARCHIVE = "/var/lib/localcloud-disks.tar"
#: Writing a disk of some gigabytes.
DISK_SECONDS = 1800.0


#: Where the disks of machines lie whose size is limited: a folder for each owner, of sparse files.
FOLDER = Path("/var/tmp/localcloud-disks")


def volumes(label: str, device: str | None = None) -> list[str]:
    """Options by which a container gets new volumes, which end with it.

    Args:
        device: of the disk on which its Docker keeps everything, the containers' own disks included.
    """
    result = []
    for path in VOLUMES:
        limited = ["volume-driver=local", "volume-opt=type=ext4", f"volume-opt=device={device}"] if device else []
        words = ["type=volume", f"destination={path}", f"volume-label={label}"]
        result += ["--mount", ",".join(words + (limited if path == VOLUMES[0] else []))]
    return result


def make_disk(label: str, instance_id: str, gib: int) -> str:
    """Make an empty disk of that size, which takes no more of this machine's than is written to it: its device.

    Raises:
        HostError: this machine has no loop devices, or a tool is missing.
    """
    file = _folder(label) / instance_id
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("wb") as disk:
        disk.truncate(gib << 30)
    try:
        command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(file))
        return command("losetup", "--find", "--show", str(file))
    except HostError as problem:
        file.unlink()
        raise HostError(
            f"no disk of a limited size (loop devices, mkfs.ext4 and losetup are needed): {problem}"
        ) from None


def drop_disks(label: str, instance_id: str = "*") -> None:
    """Delete the disk of a machine, by default those of all machines of an owner."""
    for file in _folder(label).glob(instance_id):
        with contextlib.suppress(HostError):
            for device in command("losetup", "--noheadings", "--output", "NAME", "--associated", str(file)).split():
                command("losetup", "--detach", device)
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # there are others, or there never was one
        _folder(label).rmdir()
        FOLDER.rmdir()


def _folder(label: str) -> Path:
    return FOLDER / label.replace("=", "-")


def keep(instance_id: str, tag: str, label: str) -> None:
    """Make an image of a machine's disks: its layer, and an archive of its volumes, which `docker commit` leaves out.

    The volumes cannot be in a layer as they are: overlayfs's marks of deleted files would delete files in the image,
    too.

    Raises:
        HostError: Docker could not; no image is left.
    """
    layer = f"{tag}-layer"
    pack = f"tar --create --file {ARCHIVE} --directory / --numeric-owner --sparse --xattrs --xattrs-include='*'"
    folders = " ".join(path.lstrip("/") for path in VOLUMES)
    docker("commit", "--change", f"LABEL {label}", instance_id, layer, timeout=DISK_SECONDS)
    packer = docker(
        *(
            "create",
            "--label",
            label,
            "--network",
            "none",
            "--volumes-from",
            f"{instance_id}:ro",
            "--cap-add",
            "SYS_ADMIN",
        ),
        # 1 says that a file changed meanwhile, as it may where the machine runs on.
        *("--entrypoint", "/bin/sh", layer, "-c", f"{pack} {folders} || [ $? -eq 1 ]"),
    )
    try:
        docker("start", "--attach", packer, timeout=DISK_SECONDS)
        docker("commit", packer, tag, timeout=DISK_SECONDS)
    finally:
        docker("rm", "--force", "--volumes", packer)
        docker("rmi", "--force", layer)
