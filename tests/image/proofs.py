"""What must hold on a booted instance of the golden image: for each a name in plain words, and a script that ends with 0 where it holds."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from tests.image.cloud import ImageCloud


class Proof(NamedTuple):
    """Something that holds, or not; what the script prints says more."""

    name: str
    script: str


RUNNING = ("docker.service", "xvfb.service", "ghosthands-disk-guard.timer", "ghosthands-registry-login.timer")
#: They wait for agent.conf, which comes with user data.
READY = ("ghosthands-boot.service", "ghosthands-watch.service", "ghosthands-stop.service")
#: In image.json -> among the tags.
LINEAGE = {"git_revision": "git-revision", "source_image": "source-image", "compose_version": "compose-version"}

#: Nothing is pulled: the container holds one program of the machine's, with its libraries. This host may allow fewer open files than Amazon's default
#: for containers, hence the limit.
CONTAINER = """\
{ echo /usr/bin/id; ldd /usr/bin/id | grep -o '/[^ ]*'; } | tar --dereference --create --files-from - 2>/dev/null | docker import - proof >/dev/null &&
docker run --rm --ulimit nofile=1024 proof /usr/bin/id -u; ended=$?; docker rmi --force proof >/dev/null; exit $ended"""
DISPLAY = "test -S /tmp/.X11-unix/X99 && pgrep --full --list-full '^/usr/bin/Xvfb :99'"
FAILED = 'failed=$(systemctl --failed --plain --no-legend); echo "$failed"; [ -z "$failed" ]'
UNTOLD = "sudo ghosthands-agent boot; [ $? = 2 ]"
ONE_KEY = "sudo find /root/.ssh /home -name 'authorized_keys*' -exec cat {} + | grep -o 'ssh-ed25519 .*' | sort -u | wc -l | grep -x 1"
OWN_IDS = """\
[ -s /etc/machine-id ] && [ -z "$(sudo find /etc/ssh -name 'ssh_host_*_key' ! -newer /etc/ghosthands/image.json)" ]"""


def proofs(image_id: str, cloud: ImageCloud) -> list[Proof]:
    """For an image that was made on this cloud."""
    tags = {tag["Key"]: tag["Value"] for tag in cloud.image(image_id)["Tags"]}
    lineage = {key: tags[f"ghosthands:{tag}"] for key, tag in LINEAGE.items()}
    version = shlex.quote(lineage["compose_version"])
    reading = (
        f"import json; said = json.load(open('/etc/ghosthands/image.json')); assert said | {lineage!r} == said, said"
    )
    return [
        *(
            Proof(
                f"{unit} runs, and starts at boot", f"systemctl is-active -q {unit} && systemctl is-enabled -q {unit}"
            )
            for unit in RUNNING
        ),
        *(Proof(f"{unit} starts at boot", f"systemctl is-enabled -q {unit}") for unit in READY),
        Proof("nothing has failed", FAILED),
        Proof("the Compose plugin is the pinned one", f"docker compose version --short | grep -Ex '{version}(-.*)?'"),
        Proof("the default user runs a container", CONTAINER),
        Proof("there is a display", DISPLAY),
        Proof("the agent refuses to boot before it is told what to be", UNTOLD),
        Proof(f"image.json says what the tags say: {json.dumps(lineage)}", f"python3 -c {shlex.quote(reading)}"),
        Proof("one key opens it: this launch's", ONE_KEY),
        Proof("machine id and host keys are its own", OWN_IDS),
    ]
