"""A machine's disks: its container's own layer, and volumes for what cannot lie on that; an image holds both."""

from __future__ import annotations

from localcloud.instances.docker import docker

#: Folders that are volumes: Docker inside keeps its layers there, and overlayfs cannot lie on overlayfs.
VOLUMES = ("/var/lib/docker", "/var/lib/containerd")
#: Where an image has them, until the machine that boots it unpacks them.
ARCHIVE = "/var/lib/localcloud-disks.tar"
#: Writing a disk of some gigabytes.
DISK_SECONDS = 1800.0


def volumes(label: str) -> list[str]:
    """Options by which a container gets new volumes, which end with it."""
    return [word for path in VOLUMES for word in ("--mount", f"type=volume,destination={path},volume-label={label}")]


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
