"""`docker` on a process instance: a worker's container is a process, the modelled worker. Other commands are refused.

`fake_docker.py FOLDER ARGUMENTS`: FOLDER is the instance's; each container has a folder in FOLDER/containers. A
separate process (`fake_docker.py FOLDER shim NAME`) waits for the exit of a worker, as containerd's shim does, so that
the exit code is known, and starts it again if its restart policy says so. Containers of api and deploy-server have no
process. Of the worker's processes, FOLDER/worker.pid holds the pid of the last one, FOLDER/signalled and FOLDER/exited
the times at which any was first signalled and last exited, and FOLDER/exit_code the last exit code while none runs. A
worker finds the name of its container in the variable CONTAINER. FOLDER/bad_images has the images whose process ends at
once, FOLDER/missing_images those that no registry has, one a line.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

REFUSED = 64
SERVICES = ("worker", "api", "deploy-server")
STOP_SECONDS = 10  # Compose's default
RESTART_SECONDS = 0.5  # dockerd begins with 0.1 s and doubles it
WORKER = "bun packages/ghosthands/src/workers/workerLauncher.ts"


class Container:
    """A container: a folder with `container.json`, and files that hold its state."""

    def __init__(self, own: Path, name: str) -> None:
        self.own, self.name, self.folder = own, name, own / "containers" / name
        self.exists = (self.folder / "container.json").exists()

    def create(self, role: str, restart: str, *, by_compose: bool = False, label: str = "") -> None:
        self.folder.mkdir(parents=True)
        made = {
            "id": secrets.token_hex(32),
            "name": self.name,
            "command": f'"{WORKER}"' if role == "worker" else f'"{role}"',
            "project": "ghosthands" if by_compose else "",
            "service": role if by_compose else "",
            "role": label,
            "created": time.time(),
            "is": role,
        }
        _write(self.folder / "restart", restart)
        _write(self.folder / "container.json", json.dumps(made))
        self.exists = True

    @property
    def values(self) -> dict[str, str]:
        """What `docker ps` prints about it, except its state."""
        values: dict[str, str] = json.loads((self.folder / "container.json").read_text())
        return values

    @property
    def has_process(self) -> bool:
        return self.values["is"] == "worker"

    @property
    def pid(self) -> int:
        """The worker's pid; 0 if it has exited, or none was started.

        Only its shim waits for it, so no other process can have this pid until then.
        """
        return int(self._read("pid") or 0)

    @property
    def restarts(self) -> int:
        """RestartCount."""
        return int(self._read("restarts") or 0)

    @property
    def state(self) -> str:
        if self.has_process and self.pid:
            return "paused" if (self.folder / "paused").exists() else "running"
        return self._read("state") or "created"

    def row(self) -> dict[str, str]:
        """Its line of `docker ps`."""
        code = self._read("exit_code") or "0"
        ago = f"{time.time() - float(self._read('exited') or time.time()):.0f} seconds ago"
        status = {"exited": f"Exited ({code}) {ago}", "restarting": f"Restarting ({code}) {ago}"}
        return {**self.values, "state": self.state, "status": status.get(self.state, "Up 1 second")}

    def start(self) -> bool:
        (self.folder / "stopped").unlink(missing_ok=True)
        if not self.has_process:
            _write(self.folder / "state", "running")
            return True
        if self.state in ("running", "restarting"):
            return True
        for file in (self.folder / "started", self.own / "exit_code"):
            file.unlink(missing_ok=True)
        subprocess.Popen(
            [sys.executable, __file__, str(self.own), "shim", self.name],
            env=json.loads((self.own / "instance.json").read_text())["environment"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        return _wait(lambda: (self.folder / "started").exists(), 10)

    def run(self) -> None:
        """As its shim: run the process, and run it again while its restart policy says so."""
        while True:
            code = self._run_once()
            policy, stopped = self._read("restart"), (self.folder / "stopped").exists()
            if stopped or not (policy == "unless-stopped" or (policy == "on-failure" and code)):
                break
            self._exited("restarting", code)
            _write(self.folder / "restarts", str(self.restarts + 1))
            if _wait(lambda: not self.folder.exists() or (self.folder / "stopped").exists(), RESTART_SECONDS):
                break
        if self.folder.exists():
            self._exited("exited", code)

    def signal(self) -> bool:
        """SIGTERM to its process, which is not started again; False if it has none and is not about to get one."""
        (self.folder / "stopped").touch()
        if not (pid := self.pid):
            return self.state == "restarting"
        if not (self.own / "signalled").exists():
            _write(self.own / "signalled", str(time.time()))
        os.kill(pid, signal.SIGTERM)
        return True

    def pause(self) -> bool:
        if self.state != "running":
            return False
        os.kill(self.pid, signal.SIGSTOP)
        (self.folder / "paused").touch()
        return True

    def unpause(self) -> bool:
        if self.state != "paused":
            return False
        (self.folder / "paused").unlink()
        os.kill(self.pid, signal.SIGCONT)
        return True

    def kill(self) -> bool:
        """SIGKILL, which ends a paused process too; it is not started again."""
        (self.folder / "stopped").touch()
        if not (pid := self.pid):
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def stop(self, grace: float) -> None:
        if not self.has_process:
            _write(self.folder / "state", "exited" if self.state == "running" else self.state)
            return
        self.signal()
        if not _wait(lambda: not self.pid, grace):
            os.kill(self.pid, signal.SIGKILL)
        _wait(lambda: self.state in ("created", "exited"), 10)

    def _run_once(self) -> int:
        instance = json.loads((self.own / "instance.json").read_text())
        environment = {
            **instance["environment"],
            **dotenv(self.own / "root/opt/ghosthands/.env"),
            "GH_WORKER_PORT": str(instance["port"]),
            "CONTAINER": self.name,
        }
        if environment.get("ECR_IMAGE") in _lines(self.own / "bad_images"):
            for place in (self.folder / "pid", self.folder / "started"):
                _write(place, "0")
            return 1
        with (self.own / "worker.log").open("a") as log:
            worker = subprocess.Popen(
                instance["worker"],
                env=environment,
                cwd=instance["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for place in (self.own / "worker.pid", self.folder / "pid", self.folder / "started"):
            _write(place, str(worker.pid))
        code = worker.wait()
        return code if code >= 0 else 128 - code

    def _exited(self, state: str, code: int) -> None:
        (self.folder / "paused").unlink(missing_ok=True)
        for place in (self.own / "exited", self.folder / "exited"):
            _write(place, str(time.time()))
        _write(self.own / "exit_code", str(code))
        _write(self.folder / "exit_code", str(code))
        _write(self.folder / "state", state)
        (self.folder / "pid").unlink(missing_ok=True)

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return ""


def main(own: Path, words: list[str]) -> int:
    match _without_project_options(words):
        case ["shim", name]:
            Container(own, name).run()
            return 0
        case ["compose", "up", "--detach", "--wait", "--no-build"] | ["compose", "up", "-d"]:
            return up(own, SERVICES)
        case ["compose", "up", "--detach", "--wait", "--no-build", "--no-deps", *services]:
            return up(own, services)
        case ["compose", "down"]:
            for container in containers(own):
                container.stop(STOP_SECONDS)
            return 0
        case ["login", "--username", "AWS", "--password-stdin", _]:
            return 0 if sys.stdin.read().strip() else 1
        case ["ps", "--all", "--no-trunc", "--format", _]:
            print(*(json.dumps(container.row()) for container in containers(own)), sep="\n")
            return 0
        case ["inspect", "--format", "{{.RestartCount}}", id]:
            return _of_each(own, [id], "No such container", lambda each: print(each.restarts))
        case ["kill", "--signal", "TERM", *ids]:
            return _of_each(own, ids, "Cannot kill container: container X is not running", Container.signal)
        case ["kill", "--signal", "KILL", *ids]:
            return _of_each(own, ids, "Cannot kill container: container X is not running", Container.kill)
        case ["pause", *ids]:
            return _of_each(own, ids, "Container X is not running", Container.pause)
        case ["unpause", *ids]:
            return _of_each(own, ids, "Container X is not paused", Container.unpause)
        case ["inspect", "--format", "{{.State.Paused}}", id]:
            states = {container.values["id"]: container.state for container in containers(own)}
            print(str(states.get(id) == "paused").lower())
            return 0 if id in states else 1
        case ["stop", "-t", grace, *ids]:
            return _of_each(own, ids, "No such container", lambda container: container.stop(float(grace)))
        case ["update", "--restart", "no", *ids]:
            return _of_each(own, ids, "No such container", lambda each: _write(each.folder / "restart", "no"))
        case ["rm", "--force", *ids]:
            return _of_each(own, ids, "No such container", remove)
        case ["create", "--name", name, "--label", label, "--restart", restart, role]:
            Container(own, name).create(role, restart, label=label.partition("=")[2])
            return 0
        case ["start", name]:
            return 0 if Container(own, name).start() else 1
        case ["pull", "--quiet", "--", image] if image in _lines(own / "missing_images"):
            print("Error response from daemon: manifest unknown: manifest unknown", file=sys.stderr)
            return 1
        case ["image", "inspect", "--format", "{{.Id}}", "--", image] if image in _lines(own / "missing_images"):
            print("Error: No such image", file=sys.stderr)
            return 1
        case (
            ["pull", _]
            | ["image", "inspect", "--format", "{{.Id}}", "--", _]
            | ["pull", "--quiet", "--", _]
            | ["version", *_]
            | ["compose", "version", *_]
        ):
            return 0
    print(f"fake_docker.py does not know this command: {' '.join(words)}", file=sys.stderr)
    return REFUSED


def _without_project_options(words: list[str]) -> list[str]:
    """The arguments without the options that name the Compose project."""
    kept, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if word in ("--project-name", "--project-directory", "--file", "-f"):
            rest.pop(0)
        else:
            kept.append(word)
    return kept


def up(own: Path, services: Sequence[str]) -> int:
    for service in services:
        container = Container(own, f"ghosthands-{service}-1")
        if not container.exists:
            container.create(service, "on-failure", by_compose=True)
        if not container.start():
            return 1
    return 0


def containers(own: Path) -> list[Container]:
    """All containers, the newest first, as docker lists them."""
    found = [Container(own, path.parent.name) for path in own.glob("containers/*/container.json")]
    return sorted(found, key=lambda container: container.values["created"], reverse=True)


def remove(container: Container) -> None:
    container.stop(0)
    shutil.rmtree(container.folder)


def _of_each(own: Path, ids: list[str], problem: str, action: Callable[[Container], bool | None]) -> int:
    code, by_id = 0, {container.values["id"]: container for container in containers(own)}
    for id in ids:
        if id not in by_id or action(by_id[id]) is False:
            print(f"Error response from daemon: {problem}", file=sys.stderr)
            code = 1
    return code


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def dotenv(file: Path) -> dict[str, str]:
    """The plain KEY=value and KEY='value' lines that these tests write."""
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return {key: value.strip("'") for key, value in pairs}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}")
    new.write_text(text)
    new.rename(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
