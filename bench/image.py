"""`python -m bench.image`: the golden image baked by image.yml, by a plain shell script that installs the very same things, and image.yml again.

Each bake has a fresh container of the look-alike of Amazon Linux 2023, with systemd and Docker inside, which is started before the clock is. image.yml comes
by SSH with pipelining, as Packer has it; the script (image.sh) by `docker exec`, and the files that it installs are those that image.yml made in a first bake,
which is not counted. Afterwards both hosts are compared: a script that does less is no baseline. Packages, the Compose plugin and the agent's wheels come from
this machine, so no time is the net's. A missed aim is told, not failed; only what breaks ends with an error.
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

from tests.fleet.cloud import BIN, ROOT, Run
from tools.images.__main__ import image_name

SCRIPT = ROOT / "bench/image.sh"
REQUIREMENTS = ROOT / "roles/ghosthands/files/requirements.txt"
USER = "ec2-user"
BAKE_RATIO, NOOP_SECONDS = 1.6, 10.0
START_SECONDS = 60.0
#: As molecule/default has it: as little privilege as systemd and an engine inside can live with.
FLAGS = (
    "--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined --cgroupns host "
    "--volume /sys/fs/cgroup:/sys/fs/cgroup:rw --volume /var/lib/docker --volume /var/lib/containerd "
    "--tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec --stop-signal SIGRTMIN+3 --pull never"
).split()
#: Docker mounts the kernel's parameters read-only, and Amazon's unit asks for more open files than a container may have.
BEARABLE = "mount -o remount,rw /proc/sys; mkdir -p /etc/sysconfig; echo 'OPTIONS=\"\"' >/etc/sysconfig/docker"
#: What a login needs, and what sealing took: nothing of it counts.
LOGIN = f"ssh-keygen -A; install -d -m 0700 -o {USER} ~{USER}/.ssh; install -m 0600 -o {USER} /dev/stdin ~{USER}/.ssh/authorized_keys"
#: Files that image.yml makes and that the script has to install.
MADE = (
    *(
        "/etc/docker/daemon.json",
        "/etc/tmpfiles.d/xvfb.conf",
        "/etc/systemd/system/xvfb.service",
        "/usr/local/lib/xvfb_ready.py",
    ),
    *("/etc/systemd/system/ghosthands-*", "/usr/local/lib/ghosthands-units.json", "/usr/local/bin/ghosthands-agent"),
    "/opt/ghosthands/docker-compose.prod.yml",
    *(f"/opt/ghosthands-agent/{name}" for name in ("agent.json", "disk_guard.py", "journal_file.py")),
)
#: What both sides have to end with: packages, units that start at boot, a user's groups, and every file but those that a program made on the way.
ENDED = (
    "rpm -qa | sort; systemctl list-unit-files --state=enabled --no-legend; systemctl --failed --plain --no-legend; id ec2-user; "
    "cd /; find etc/systemd/system etc/docker etc/tmpfiles.d etc/ghosthands usr/local usr/share/ghosthands opt "
    "! -name '*.pyc' ! -name image.json ! -path '*/wheels*' ! -name RECORD ! -name '.*' -printf '%M %U %G %p ' "
    r"\( -type f -exec sha256sum {} \; -o -printf '%l\n' \) | sort"
)


class Host(NamedTuple):
    """A running container."""

    name: str
    address: str
    key: Path
    """the private key of `USER`"""

    def run(self, script: str, stdin: str = "") -> str:
        """What a shell script says, as root. Raises RuntimeError with all it said where it fails."""
        return command("docker", "exec", "--interactive", self.name, "bash", "-c", script, stdin=stdin)

    def let_in(self) -> None:
        """Whoever has the key may log in, also after the host was sealed."""
        self.run(LOGIN, self.key.with_suffix(".pub").read_text())
        options = (
            "-o BatchMode=yes -o ConnectTimeout=2 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null".split()
        )
        login = ["ssh", "-i", str(self.key), *options, f"{USER}@{self.address}", "true"]
        until = time.monotonic() + START_SECONDS
        while subprocess.run(login, capture_output=True).returncode:
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} lets nobody in by SSH")
            time.sleep(0.2)


def command(*words: str | Path, stdin: str = "") -> str:
    """Its standard output. Raises RuntimeError with all it said where it fails."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Bench:
    """The ways to bake, on hosts of one image.

    Args:
        folder: for what is made meanwhile.
        image: the hosts' image.
    """

    def __init__(self, folder: Path, image: str) -> None:
        self.folder, self.image, self.hosts = folder, image, 0
        self.key = folder / "key"
        command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        self.plugin = Path(command(ROOT / ".ci/compose-plugin").strip())
        self.sum = hashlib.sha256(self.plugin.read_bytes()).hexdigest()
        self.wheels = folder / "wheels"
        pip = (
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "download",
            "--no-deps",
            "--require-hashes",
        )
        command(*pip, "--only-binary", ":all:", "--requirement", REQUIREMENTS, "--dest", self.wheels)

    @contextmanager
    def host(self) -> Iterator[Host]:
        """A fresh one that has booted."""
        self.hosts += 1
        name = f"gh-bench-image-{os.getpid()}-{self.hosts}"
        command("docker", "run", "--detach", "--name", name, *FLAGS, self.image, "/sbin/init")
        try:
            inspect = ("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
            made = Host(name, command(*inspect).strip(), self.key)
            made.run(
                "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done; systemctl is-system-running --wait || true"
            )
            made.run(BEARABLE)
            yield made
        finally:
            command("docker", "rm", "--force", "--volumes", name)

    def play(self, host: Host, *words: str) -> Run:
        """image.yml on this host, told what Packer tells it. Raises RuntimeError where it fails."""
        variables = {
            "docker_users": [USER],
            "docker_compose_file": str(self.plugin),
            "image_compose_version": "2.40.3",
            "image_compose_sha256": self.sum,
            "ghosthands_wheels": str(self.wheels),
            "ghosthands_log_shipping": False,  # neither the look-alike nor the script has the shipper
        }
        inventory = self.folder / "inventory.json"
        login = {"ansible_host": host.address, "ansible_user": USER, "ansible_ssh_private_key_file": str(self.key)}
        inventory.write_text(json.dumps({"image": {"hosts": {"default": login}}}))
        environment = {
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),  # no connection outlives its host
        }
        ansible = [
            "ansible-playbook",
            "playbooks/image.yml",
            "--inventory",
            str(inventory),
            "--extra-vars",
            json.dumps(variables),
            *words,
        ]
        done = subprocess.run(ansible, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        run = Run(done.returncode, done.stdout, done.stderr)
        if run.returncode:
            raise RuntimeError(f"image.yml: {run.stdout}\n{run.stderr}")
        return run

    def bring(self, host: Host, files: Path) -> None:
        """The script and all it installs, into a folder of the host that sealing spares."""
        command("docker", "cp", f"{files}/.", f"{host.name}:/srv/bake")

    def made_by(self, host: Host) -> Path:
        """A folder for the script: what the host has of image.yml's files, what comes from this machine, and the script itself."""
        files = self.folder / "files"
        (files / "tree").mkdir(parents=True)
        pack = ["docker", "exec", host.name, "sh", "-c", f"tar -c {' '.join(MADE)} 2>/dev/null"]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            subprocess.run(["tar", "-x", "-C", files / "tree"], stdin=packing.stdout, check=True)
        if packing.returncode:
            raise RuntimeError(f"the host lacks one of {', '.join(MADE)}")
        shutil.copy(self.plugin, files / "docker-compose")
        shutil.copytree(self.wheels, files / "wheels")
        for file in (SCRIPT, REQUIREMENTS, REQUIREMENTS.with_name("lay_out.py")):
            shutil.copy(file, files)
        (files / "gone").write_text(" ".join(gone()))
        return files


def gone() -> list[str]:
    """The patterns of playbooks/vars/image_forbidden.yml."""
    kinds = yaml.safe_load((ROOT / "playbooks/vars/image_forbidden.yml").read_text())["__image_forbidden"]
    return [pattern for kind in kinds for pattern in kind["paths"]]


def differences(wanted: str, found: str) -> list[str]:
    """Lines that only one of two hosts has."""
    return [f"image.yml alone: {line}" for line in wanted.splitlines() if line not in found.splitlines()] + [
        f"the script alone: {line}" for line in found.splitlines() if line not in wanted.splitlines()
    ]


def measure(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; the ways take turns.

    Raises:
        RuntimeError: a bake fails, a run with nothing to do changes something, or the two bakes do not end with the same host.
    """
    with bench.host() as host:
        host.let_in()
        bench.play(host)
        wanted, files = host.run(ENDED), bench.made_by(host)
    print(f"... {len(wanted.splitlines())} packages, units and files that both sides have to end with", flush=True)
    taken: dict[str, list[float]] = {"script": [], "bake": [], "noop": []}
    for _ in range(rounds):
        with bench.host() as host:
            began = time.perf_counter()
            bench.bring(host, files)
            host.run(f"/srv/bake/{SCRIPT.name} {bench.sum}")
            taken["script"].append(time.perf_counter() - began)
            if differ := differences(wanted, host.run(ENDED)):
                raise RuntimeError(
                    "the script is no baseline, it does not do what image.yml does:\n" + "\n".join(differ)
                )
        with bench.host() as host:
            host.let_in()
            began = time.perf_counter()
            bench.play(host)
            taken["bake"].append(time.perf_counter() - began)
            host.let_in()
            began = time.perf_counter()
            again = bench.play(host, "--skip-tags", "seal,verify")
            taken["noop"].append(time.perf_counter() - began)
            if again.changed:
                raise RuntimeError(f"a second run changes: {', '.join(again.changed_tasks)}")
    return taken


def told(taken: Mapping[str, Sequence[float]]) -> list[str]:
    """A line for each way, with its ratio to the script and its aim. Ratios are of the minima: what else the machine does can only make a run slower."""
    script = min(taken["script"])
    ratio, noop = min(taken["bake"]) / script, min(taken["noop"])

    def line(what: str, seconds: Sequence[float], aim: str, met: bool | None) -> str:
        verdict = "" if met is None else f"  {aim}: {'met' if met else 'MISSED'}"
        return (
            f"{what:44}  {min(seconds):6.1f}  {statistics.median(seconds):8.1f}  {min(seconds) / script:5.2f}{verdict}"
        )

    return [
        f"{'':44}  {'min s':>6}  {'median s':>8}  ratio  aim",
        line("image.sh, plain shell", taken["script"], "", None),
        line("image.yml: roles, seal, prove", taken["bake"], f"ratio <= {BAKE_RATIO}", ratio <= BAKE_RATIO),
        line(
            "image.yml again: the roles, nothing to do", taken["noop"], f"<= {NOOP_SECONDS:.0f} s", noop <= NOOP_SECONDS
        ),
    ]


def main() -> int:
    """Measure, tell."""
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no host outlives a bench that is ended
    with tempfile.TemporaryDirectory(prefix="bench-image-") as folder:
        taken = measure(Bench(Path(folder), image), given.rounds)
    print("\n" + "\n".join(told(taken)))
    print(
        f"\nmin and median over {given.rounds} rounds, in which the ways take turns; ratio: of the minima, to image.sh."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
