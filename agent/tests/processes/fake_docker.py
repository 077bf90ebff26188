"""`docker` on a process instance: its one container is a process, the modelled worker. Other commands are refused.

`fake_docker.py FOLDER ARGUMENTS`: FOLDER is the instance's. A separate process (`fake_docker.py FOLDER shim`) waits for
the exit of the worker, as containerd's shim does, so that the exit code is known. The states of api and
deploy-server are only words in a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REFUSED = 64
OTHERS = ("api", "deploy-server")
STOP_SECONDS = 10  # Compose's default


def main(own: Path, words: list[str]) -> int:
    match _without_project_options(words):
        case ["shim"]:
            return shim(own)
        case ["compose", "up", "--detach", "--wait", "--no-build"] | ["compose", "up", "-d"]:
            return up(own)
        case ["login", "--username", "AWS", "--password-stdin", _]:
            return 0 if sys.stdin.read().strip() else 1
        case ["compose", "down"]:
            return stop(own, STOP_SECONDS, ["worker", *OTHERS])
        case ["compose", "ps", "--all", "--format", "json"]:
            return ps(own)
        case ["compose", "stop", "--timeout", grace, *services]:
            return stop(own, int(grace), services)
        case ["ps", "--quiet", "--no-trunc", "--filter", _, "--filter", "label=com.docker.compose.service=worker"]:
            print(*([pid] if (pid := running(own)) else []))
            return 0
        case ["kill", "--signal", "TERM", pid]:
            return kill(own, int(pid))
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


def up(own: Path) -> int:
    if not running(own):
        (own / "exit_code").unlink(missing_ok=True)
        (own / "worker.pid").unlink(missing_ok=True)
        instance = json.loads((own / "instance.json").read_text())
        shim = [sys.executable, __file__, str(own), "shim"]
        subprocess.Popen(
            shim,
            env=instance["environment"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 10
        while not (own / "worker.pid").exists():
            if time.monotonic() > until:
                return 1
            time.sleep(0.01)
    (own / "others").write_text("running")
    return 0


def shim(own: Path) -> int:
    instance = json.loads((own / "instance.json").read_text())
    environment = {
        **instance["environment"],
        **dotenv(own / "root/opt/ghosthands/.env"),
        "GH_WORKER_PORT": str(instance["port"]),
    }
    with (own / "worker.log").open("a") as log:
        worker = subprocess.Popen(
            instance["worker"], env=environment, cwd=instance["cwd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    _write(own / "worker.pid", str(worker.pid))
    code = worker.wait()
    _write(own / "exited", str(time.time()))
    _write(own / "exit_code", str(code if code >= 0 else 128 - code))
    return 0


def ps(own: Path) -> int:
    worker: dict[str, Any] | None = None
    if running(own):
        worker = {"State": "running", "ExitCode": 0}
    elif (own / "exit_code").exists():
        worker = {"State": "exited", "ExitCode": int((own / "exit_code").read_text())}
    if worker:
        print(json.dumps({"Service": "worker", "Health": "", **worker}))
    if (own / "others").exists():
        for name in OTHERS:
            print(json.dumps({"Service": name, "Health": "", "State": (own / "others").read_text(), "ExitCode": 0}))
    return 0


def stop(own: Path, grace: int, services: list[str]) -> int:
    if set(services) & set(OTHERS) and (own / "others").exists():
        (own / "others").write_text("exited")
    if "worker" in services and (pid := running(own)):
        kill(own, pid)
        until = time.monotonic() + grace
        while running(own) and time.monotonic() < until:
            time.sleep(0.02)
        if running(own):
            os.kill(pid, signal.SIGKILL)
        while running(own):
            time.sleep(0.02)
    return 0


def kill(own: Path, pid: int) -> int:
    if pid != running(own):
        print(
            f"Error response from daemon: Cannot kill container: {pid}: Container {pid} is not running", file=sys.stderr
        )
        return 1
    if not (own / "signalled").exists():
        _write(own / "signalled", str(time.time()))
    os.kill(pid, signal.SIGTERM)
    return 0


def running(own: Path) -> int:
    """The worker's pid; 0 if it has exited, or none was started.

    Only its shim waits for it, so no other process can have this pid until then.
    """
    if (own / "exit_code").exists() or not (own / "worker.pid").exists():
        return 0
    return int((own / "worker.pid").read_text())


def dotenv(file: Path) -> dict[str, str]:
    """The plain KEY=value and KEY='value' lines that these tests write."""
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return {key: value.strip("'") for key, value in pairs}


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}")
    new.write_text(text)
    new.rename(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
