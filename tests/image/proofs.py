"""What has to be true on an instance of the golden image."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from tests.image.cloud import ImageCloud


class Proof(NamedTuple):
    """A statement, and a script that exits with 0 if it is true and otherwise prints why not."""

    name: str
    script: str


RUNNING = ("docker.service", "xvfb.service", "ghosthands-disk-guard.timer", "ghosthands-registry-login.timer")
#: These wait for agent.conf, which comes with user data.
READY = ("ghosthands-boot.service", "ghosthands-watch.service", "ghosthands-stop.service")
#: Key in image.json -> tag of the image.
LINEAGE = {"git_revision": "git-revision", "source_image": "source-image", "compose_version": "compose-version"}

#: Nothing is pulled: the container has one program of the machine with its libraries. By Compose, as the worker's are,
#: with the limits that the image gives to containers.
CONTAINER = """\
{ echo /usr/bin/id; ldd /usr/bin/id | grep -o '/[^ ]*'; } | tar --dereference --create --files-from - 2>/dev/null |
docker import - proof >/dev/null && mkdir -p /tmp/proof && cd /tmp/proof &&
echo '{"services": {"proof": {"image": "proof", "network_mode": "host", "command": ["/usr/bin/id"]}}}' >compose.yml &&
docker compose --progress quiet run --rm -T proof; code=$?
docker rmi --force proof >/dev/null; rm -r /tmp/proof; exit $code"""
DISPLAY = "test -S /tmp/.X11-unix/X99 && pgrep --full --list-full '^/usr/bin/Xvfb :99'"
FAILED = 'failed=$(systemctl --failed --plain --no-legend); echo "$failed"; [ -z "$failed" ]'
REFUSES = "sudo ghosthands-agent boot; [ $? = 2 ]"
ONE_KEY = (
    "sudo find /root/.ssh /home -name 'authorized_keys*' -exec cat {} +"
    " | grep -o 'ssh-ed25519 .*' | sort -u | wc -l | grep -x 1"
)
ENGINE = """\
import json, subprocess; found = json.load(open("/etc/ghosthands/image.json"))
said = json.loads(subprocess.check_output(["docker", "version", "--format", "{{json .Server}}"]))
parts = {part["Name"]: part["Version"] for part in said["Components"]}
assert [found["docker_version"], found["containerd_version"]] == [said["Version"], parts["containerd"]], found"""
OWN_IDS = """\
[ -s /etc/machine-id ] && [ -z "$(sudo find /etc/ssh -name 'ssh_host_*_key' ! -newer /etc/ghosthands/image.json)" ]"""


def proofs(image_id: str, cloud: ImageCloud) -> list[Proof]:
    """The proofs for an image that was built on this cloud."""
    tags = {tag["Key"]: tag["Value"] for tag in cloud.image(image_id)["Tags"]}
    lineage = {key: tags[f"ghosthands:{tag}"] for key, tag in LINEAGE.items()}
    version = shlex.quote(lineage["compose_version"])
    compare = (
        "import json; found = json.load(open('/etc/ghosthands/image.json')); "
        f"assert found | {lineage!r} == found, found"
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
        Proof("the default user runs a container by Compose, with the image's own limits", CONTAINER),
        Proof("the display is running", DISPLAY),
        Proof("the agent refuses to boot without agent.conf", REFUSES),
        Proof(f"image.json has the values of the tags: {json.dumps(lineage)}", f"python3 -c {shlex.quote(compare)}"),
        Proof("image.json has the versions of Docker Engine and containerd", f"python3 -c {shlex.quote(ENGINE)}"),
        Proof("the only SSH key is this launch's", ONE_KEY),
        Proof("machine id and host keys are its own", OWN_IDS),
    ]
