"""`python -m bench.image`: the golden image baked by image.yml; the baseline is a shell script that installs the same.

Each bake has a fresh container of the look-alike of Amazon Linux 2023 with systemd and Docker inside, which starts
before the clock does. image.yml connects by SSH with pipelining, as Packer configures it. The script (image.sh) runs by
`docker exec` and installs the files that image.yml made in a first bake, which does not count. Afterwards both hosts
are compared, for a script that does less is not a baseline. Packages, the Compose plugin and the agent's wheels come
from this machine, so no download is measured. A missed target is printed and fails nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import yaml

from bench.measure import NOTE, verdict
from tests.fleet.cloud import BIN, ROOT, Run
from tools.images.__main__ import image_name

SCRIPT = ROOT / "bench/image.sh"
REQUIREMENTS = ROOT / "roles/ghosthands/files/requirements.txt"
USER = "ec2-user"
#: The host has no metadata service that would say it.
BUILDER = "i-0be9c4b17de123456"
BAKE_RATIO, NOOP_SECONDS = 1.6, 10.0
START_SECONDS = 60.0
#: As in molecule/default: the least privilege with which systemd and a Docker engine run inside.
FLAGS = (
    "--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --volume /var/lib/docker --volume /var/lib/containerd "
    "--tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec --stop-signal SIGRTMIN+3 --pull never"
).split()
#: Docker mounts /proc/sys read-only, and Amazon's unit asks for more open files than a container may have.
ALLOW_DOCKER = "mount -o remount,rw /proc/sys; mkdir -p /etc/sysconfig; echo 'OPTIONS=\"\"' >/etc/sysconfig/docker"
#: What SSH needs and sealing removes; not timed.
LOGIN = (
    f"ssh-keygen -A; install -d -m 0700 -o {USER} ~{USER}/.ssh; "
    f"install -m 0600 -o {USER} /dev/stdin ~{USER}/.ssh/authorized_keys"
)
#: Files that image.yml makes and the script has to install.
MADE = (
    *(
        "/etc/docker/daemon.json",
        "/usr/local/lib/validate_daemon_config.sh",
        "/etc/tmpfiles.d/xvfb.conf",
        "/etc/systemd/system/xvfb.service",
        "/usr/local/lib/xvfb_ready.py",
    ),
    *("/etc/systemd/system/ghosthands-*", "/usr/local/bin/ghosthands-agent"),
    "/opt/ghosthands/docker-compose.prod.yml",
    "/opt/ghosthands-agent/*.whl",
)
#: Prints what has to be equal on both hosts: packages, enabled units, the user's groups, and every installed file.
STATE = (
    "rpm -qa | sort; systemctl list-unit-files --state=enabled --no-legend; "
    "systemctl --failed --plain --no-legend; id ec2-user; "
    "cd /; find etc/systemd/system etc/docker etc/tmpfiles.d etc/ghosthands usr/local usr/share/ghosthands opt "
    "! -name '*.pyc' ! -name image.json ! -path '*/wheels*' ! -name RECORD ! -name '.*' -printf '%M %U %G %p ' "
    r"\( -type f -exec sha256sum {} \; -o -printf '%l\n' \) | sort"
)


class Host(NamedTuple):
    """A running container."""

    name: str
    address: str
    key: Path
    """USER's private key"""

    def run(self, script: str, stdin: str = "") -> str:
        """The output of a shell script, run as root. Raises RuntimeError with all output if it fails."""
        return command("docker", "exec", "--interactive", self.name, "bash", "-c", script, stdin=stdin)

    def allow_login(self) -> None:
        """Allow SSH logins with the key, also after sealing. Raises RuntimeError if none succeeds in START_SECONDS."""
        self.run(LOGIN, self.key.with_suffix(".pub").read_text())
        options = (
            "-o BatchMode=yes -o ConnectTimeout=2 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null".split()
        )
        login = ["ssh", "-i", str(self.key), *options, f"{USER}@{self.address}", "true"]
        until = time.monotonic() + START_SECONDS
        while subprocess.run(login, capture_output=True).returncode:
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} does not accept SSH logins")
            time.sleep(0.2)


def command(*words: str | Path, stdin: str = "") -> str:
    """A command's standard output. Raises RuntimeError with all output if it fails."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Bench:
    """The ways to bake.

    Args:
        folder: for temporary files.
        image: name of the containers' image.
    """

    def __init__(self, folder: Path, image: str) -> None:
        self.folder, self.image, self.hosts = folder, image, 0
        self.key = folder / "key"
        command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        self.plugin = Path(command(ROOT / ".ci/compose-plugin").strip())
        self.sum = hashlib.sha256(self.plugin.read_bytes()).hexdigest()
        self.wheels = folder / "wheels"
        options = "--quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:".split()
        pip = [sys.executable, "-m", "pip", "download", *options]
        command(*pip, "--requirement", REQUIREMENTS, "--dest", self.wheels)

    @contextmanager
    def host(self) -> Iterator[Host]:
        """A fresh host that has booted."""
        self.hosts += 1
        name = f"gh-bench-image-{os.getpid()}-{self.hosts}"
        command("docker", "run", "--detach", "--name", name, *FLAGS, self.image, "/sbin/init")
        try:
            inspect = ("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
            made = Host(name, command(*inspect).strip(), self.key)
            made.run("until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done")
            made.run("systemctl is-system-running --wait || true")
            made.run(ALLOW_DOCKER)
            yield made
        finally:
            command("docker", "rm", "--force", "--volumes", name)

    def play(self, host: Host, *words: str) -> Run:
        """Run image.yml on this host with the variables that Packer passes. Raises RuntimeError if it fails."""
        variables = {
            "docker_users": [USER],
            "image_builder": [BUILDER],
            "docker_compose_file": str(self.plugin),
            "image_compose_version": "2.40.3",
            "image_compose_sha256": self.sum,
            "ghosthands_wheels": str(self.wheels),
            "ghosthands_log_shipping": False,  # neither the look-alike nor the script has the CloudWatch agent
        }
        inventory = self.folder / "inventory.json"
        login = {"ansible_host": host.address, "ansible_user": USER, "ansible_ssh_private_key_file": str(self.key)}
        inventory.write_text(json.dumps({"image": {"hosts": {"default": login}}}))
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=no"
            " -o UserKnownHostsFile=/dev/null",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),  # connections do not outlive their host
        }
        ansible = ["ansible-playbook", "playbooks/image.yml", "-i", str(inventory), "-e", json.dumps(variables)]
        done = subprocess.run(
            [*ansible, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        run = Run(done.returncode, done.stdout, done.stderr)
        if run.returncode:
            raise RuntimeError(f"image.yml: {run.stdout}\n{run.stderr}")
        return run

    def copy_files(self, host: Host, files: Path) -> None:
        """Copy the script and all that it installs into a folder of the host that sealing does not remove."""
        command("docker", "cp", f"{files}/.", f"{host.name}:/srv/bake")

    def script_files(self, host: Host) -> Path:
        """A folder with the script, the files that image.yml made on the host, and the downloads."""
        files = self.folder / "files"
        (files / "tree").mkdir(parents=True)
        pack = ["docker", "exec", host.name, "sh", "-c", f"tar -c {' '.join(MADE)} 2>/dev/null"]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            subprocess.run(["tar", "-x", "-C", files / "tree"], stdin=packing.stdout, check=True)
        if packing.returncode:
            raise RuntimeError(f"the host lacks one of {', '.join(MADE)}")
        shutil.copy(self.plugin, files / "docker-compose")
        shutil.copytree(self.wheels, files / "wheels")
        for file in (SCRIPT, REQUIREMENTS):
            shutil.copy(file, files)
        (files / "gone").write_text(" ".join(removed_paths()))
        return files


def removed_paths() -> list[str]:
    """The patterns that sealing removes (playbooks/vars/image_forbidden.yml)."""
    kinds = yaml.safe_load((ROOT / "playbooks/vars/image_forbidden.yml").read_text())["__image_forbidden"]
    return [pattern for kind in kinds for pattern in kind["paths"]]


def differences(expected: str, found: str) -> list[str]:
    """Lines that only one of the two hosts has."""
    by_playbook, by_script = expected.splitlines(), found.splitlines()
    return [
        *(f"image.yml only: {line}" for line in by_playbook if line not in by_script),
        *(f"the script only: {line}" for line in by_script if line not in by_playbook),
    ]


def measure(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; the ways take turns.

    Raises:
        RuntimeError: a bake fails, a second run changes something, or the two bakes leave different hosts.
    """
    with bench.host() as host:
        host.allow_login()
        bench.play(host)
        expected, files = host.run(STATE), bench.script_files(host)
    print(f"... {len(expected.splitlines())} packages, units and files have to be equal on both hosts", flush=True)
    taken: dict[str, list[float]] = {"script": [], "bake": [], "noop": []}
    for _ in range(rounds):
        with bench.host() as host:
            began = time.perf_counter()
            bench.copy_files(host, files)
            host.run(f"/srv/bake/{SCRIPT.name} {bench.sum} {BUILDER}")
            taken["script"].append(time.perf_counter() - began)
            if differing := differences(expected, host.run(STATE)):
                raise RuntimeError("the script does not do what image.yml does:\n" + "\n".join(differing))
        with bench.host() as host:
            host.allow_login()
            began = time.perf_counter()
            bench.play(host)
            taken["bake"].append(time.perf_counter() - began)
            host.allow_login()
            began = time.perf_counter()
            again = bench.play(host, "--skip-tags", "seal,verify")
            taken["noop"].append(time.perf_counter() - began)
            if again.changed:
                raise RuntimeError(f"a second run changes: {', '.join(again.changed_tasks)}")
    return taken


def summary(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """A line for each way, with the ratio of its minimum to the script's, and its target."""
    script, bake, noop = (min(taken[way]) for way in ("script", "bake", "noop"))

    def line(what: str, seconds: Sequence[float], target: str = "") -> str:
        ratio = min(seconds) / script
        return f"{what:44}  {min(seconds):6.1f}  {statistics.median(seconds):8.1f}  {ratio:5.2f}  {target}".rstrip()

    return [
        f"{'':44}  {'min s':>6}  {'median s':>8}  ratio  target",
        line("baseline: image.sh, plain shell", taken["script"]),
        line(
            "image.yml: roles, seal, verify",
            taken["bake"],
            f"ratio <= {BAKE_RATIO}: {verdict(bake / script <= BAKE_RATIO)}",
        ),
        line(
            "image.yml again: the roles, nothing to change",
            taken["noop"],
            f"<= {NOOP_SECONDS:.0f} s: {verdict(noop <= NOOP_SECONDS)}",
        ),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.image", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    given = parser.parse_args()
    command(ROOT / ".ci/docker")
    command(sys.executable, "-m", "tools.images", "al2023")
    image = image_name("al2023")
    print(
        f"ansible-core {version('ansible-core')}; {image}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # remove the containers when the bench is terminated
    with tempfile.TemporaryDirectory(prefix="bench-image-") as folder:
        taken = measure(Bench(Path(folder), image), given.rounds)
    print("\n".join(["", *summary(taken), "", NOTE]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
