"""The files of cloud-init's NoCloud source for a machine: metadata and user data of its first boot."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping

from localcloud.instances import Machine

#: Its Ec2 source looks for EC2's hardware, which a container does not show; so the seed is the only source.
CONFIGURATION = """\
datasource_list: [NoCloud]
network: {config: disabled}
locale: false
"""


def seed(machine: Machine, others: Mapping[str, bytes] | None = None) -> bytes:
    """A tar archive to unpack at the root of the machine's disk. Cloud-init acts on it once per instance id.

    Args:
        others: further files, by their paths from the root.
    """
    facts = {"instance-id": machine.id, "local-hostname": machine.host_name, "public-keys": dict(machine.public_keys)}
    folder = "var/lib/cloud/seed/nocloud/"
    files = {
        folder + "meta-data": json.dumps(facts).encode(),  # JSON is YAML
        folder + "user-data": machine.user_data or b"",
        "etc/cloud/cloud.cfg.d/99-localcloud.cfg": CONFIGURATION.encode(),
        **(others or {}),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
