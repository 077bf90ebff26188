"""``python -m localcloud up|down|status|events|serve``: start, end and look at the embedded AWS."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PORT = 5566
#: What ``localcloud.api.server`` calls itself; importing it here would cost every command moto's start.
NAME = "wekruit-localcloud"
#: Importing moto takes one to two seconds, several on a busy machine.
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 10.0
EXIT_NOT_UP = 3
#: How often `events` asks.
FOLLOW_SECONDS = 0.5
#: Loopback is never asked for through a proxy.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Daemon:
    """The server process of one port, known by its pid file and by what answers there."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        folder = runtime_folder()
        self.pid_file = folder / f"{port}.pid"
        self.log_file = folder / f"{port}.log"

    def status(self) -> dict[str, Any] | None:
        """What localcloud on this port says of itself; None when nothing of ours answers."""
        try:
            with DIRECT.open(f"{self.url}/localcloud/status", timeout=3) as answer:
                said = json.load(answer)
        except (OSError, ValueError):
            return None
        return said if isinstance(said, dict) and said.get("name") == NAME else None

    def taken(self) -> bool:
        """Whether anything at all listens on the port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self, options: Sequence[str]) -> None:
        """Start the server in the background and wait until it answers.

        Raises:
            SystemExit: it ended before it answered, or did not answer in time; the log's end is shown.
        """
        with self.log_file.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "localcloud", "serve", "--port", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *_python_path()])},
            )
        self.pid_file.write_text(f"{process.pid}\n", encoding="utf-8")
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.status():
                return
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            process.terminate()
        self.pid_file.unlink(missing_ok=True)
        tail = "\n".join(self.log_file.read_text(encoding="utf-8").splitlines()[-15:])
        raise SystemExit(f"localcloud did not start on port {self.port}; its log {self.log_file} ends:\n{tail}")

    def stuck(self) -> int | None:
        """The pid of a server of ours that runs and does not answer; a number that has passed to another process is not ours."""
        try:
            pid = int(self.pid_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        found = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
        return pid if f"localcloud serve --port {self.port}" in found.stdout else None

    def stop(self, pid: int) -> None:
        """End the server and wait until it is gone."""
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while self.taken():
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        self.pid_file.unlink(missing_ok=True)


def runtime_folder() -> Path:
    """This user's folder for pid and log files; made when missing, readable by nobody else."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "localcloud" if base else Path(f"/tmp/localcloud-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} belongs to somebody else")
    return folder


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def up(daemon: Daemon, options: Sequence[str]) -> int:
    """Start localcloud unless it is up."""
    if daemon.status():
        print(f"localcloud is already up: {daemon.url}")
    elif daemon.taken():
        print(
            f"port {daemon.port} is taken by something that is not localcloud; end it, or choose another --port",
            file=sys.stderr,
        )
        return 1
    else:
        print(f"starting localcloud on port {daemon.port} ...", flush=True)
        daemon.start(options)
        print(f"localcloud is up: {daemon.url} (log: {daemon.log_file})")
    print(
        "\nTo use it from this shell:\n"
        f"  export AWS_ENDPOINT_URL={daemon.url} AWS_DEFAULT_REGION=us-east-1\n"
        "  export AWS_ACCESS_KEY_ID=localcloud-dummy-key AWS_SECRET_ACCESS_KEY=localcloud-dummy-secret"
    )
    return 0


def down(daemon: Daemon) -> int:
    """End localcloud, if it is up."""
    said = daemon.status()
    pid = int(said["pid"]) if said else daemon.stuck()
    if pid is None:
        daemon.pid_file.unlink(missing_ok=True)
        print(f"localcloud is not up on port {daemon.port}")
        return 0
    daemon.stop(pid)
    print(f"localcloud on port {daemon.port} has ended")
    return 0


def status(daemon: Daemon) -> int:
    """Say what stands."""
    said = daemon.status()
    if said is None:
        print(f"localcloud is not up on port {daemon.port}")
        return EXIT_NOT_UP
    print(f"localcloud is up: {daemon.url}, pid {said['pid']}, for {said['uptime_seconds']:.0f} s, {said['calls']} calls")
    print(f"account {said['account']}, region {said['region']}")
    print(f"latency {said['latency_ms']:g} ms, trace {said['trace'] or 'off'}")
    for name, group in said["groups"].items():
        print(f"group {name}: desired {group['desired']}")
        for instance, state in group["instances"].items():
            print(f"  {instance}  {state}")
    return 0


def events(daemon: Daemon) -> int:
    """Follow what happens to instances, one line per transition, until interrupted or localcloud ends."""
    after = 0
    try:
        while True:
            with DIRECT.open(f"{daemon.url}/localcloud/events?after={after}", timeout=10) as answer:
                for event in json.load(answer)["events"]:
                    after = event["number"]
                    at = time.strftime("%H:%M:%S", time.gmtime(event["at"]))
                    print(
                        f"{at}  {event['group']}  {event['instance_id']}  {event['before'] or '-'} -> {event['after'] or '-'}", flush=True
                    )
            time.sleep(FOLLOW_SECONDS)
    except (OSError, ValueError):
        print(f"localcloud is not up on port {daemon.port}")
        return EXIT_NOT_UP
    except KeyboardInterrupt:
        return 0


def serve(port: int, latency_ms: float, trace: Path | None, speed: float) -> int:
    """Serve in the foreground until interrupted or told to end."""
    from localcloud.api import groups, server  # moto: one to two seconds that the other commands need not pay

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    groups.CLOCK.run_at(speed)
    httpd = server.make(port, latency_ms, trace)

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"localcloud serves http://127.0.0.1:{httpd.server_port}", flush=True)
    try:
        httpd.serve_forever()
    finally:
        httpd.server_close()
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m localcloud", description="An embedded AWS on 127.0.0.1.")
    result.add_argument("command", choices=["up", "down", "status", "events", "serve"])
    result.add_argument("--port", type=int, default=PORT, help="default: %(default)s")
    result.add_argument("--latency-ms", type=float, default=0, help="added to every API call (up, serve)")
    result.add_argument("--trace", type=Path, metavar="FILE", help="append one JSON line a call (up, serve)")
    result.add_argument("--speed", type=_speed, default=1.0, help="how many times as fast groups' time passes (up, serve)")
    return result


def _speed(text: str) -> float:
    if (speed := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return speed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = parser().parse_args(arguments)
    if given.command == "serve":
        return serve(given.port, given.latency_ms, given.trace, given.speed)
    daemon = Daemon(given.port)
    if given.command == "up":
        trace = ["--trace", str(given.trace.absolute())] if given.trace else []
        return up(daemon, ["--latency-ms", str(given.latency_ms), "--speed", str(given.speed), *trace])
    return {"down": down, "status": status, "events": events}[given.command](daemon)


if __name__ == "__main__":
    sys.exit(main())
