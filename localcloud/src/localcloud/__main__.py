"""``python -m localcloud up|down|status|events|serve``: start, end and look at the embedded AWS."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud import seed
from localcloud.instances import process
from localcloud.instances.docker import Refused

if TYPE_CHECKING:
    from localcloud.instances import Host
    from localcloud.world import World

PORT = 5566
#: What ``localcloud.server.application`` calls itself; importing it here would cost every command moto's start.
NAME = "wekruit-localcloud"
#: Importing moto takes one to two seconds, several on a busy machine.
START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 10.0
#: A base image for containers takes minutes to build; each line of progress starts this anew.
PROGRESS_TIMEOUT_SECONDS = 900.0
#: How long machines may take to end once the server listens no more.
CLOSE_TIMEOUT_SECONDS = 120.0
#: What a line of progress begins with in the log.
PROGRESS = "  "
EXIT_USAGE, EXIT_NOT_UP = 2, 3
#: What an instance can be.
KINDS = {
    "simulated": "simulated: nothing but time",
    "process": "processes of this machine",
    "container": "systemd containers",
}
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
        self.machines = folder / str(port)
        self.containers_file = folder / f"{port}.containers"  # there may be some, also after a crash

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
            server = subprocess.Popen(
                [sys.executable, "-m", "localcloud", "serve", "--port", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid_file.write_text(f"{server.pid}\n", encoding="utf-8")
        deadline, shown = time.monotonic() + START_TIMEOUT_SECONDS, 0
        while time.monotonic() < deadline:
            if self.status():
                return
            progress = [
                line for line in self.log_file.read_text(encoding="utf-8").splitlines() if line.startswith(PROGRESS)
            ]
            if progress[shown:]:
                print("\n".join(progress[shown:]), flush=True)
                deadline, shown = time.monotonic() + PROGRESS_TIMEOUT_SECONDS, len(progress)
            if server.poll() is not None:
                break
            time.sleep(0.05)
        else:
            server.terminate()
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
        """End the server and wait until it is gone, and its machines with it."""
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        heard = False
        while _runs(pid):
            if not heard and not self.taken():  # it is at work: ending its machines
                deadline, heard = time.monotonic() + CLOSE_TIMEOUT_SECONDS, True
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        self.pid_file.unlink(missing_ok=True)

    def sweep(self) -> None:
        """End the processes and containers that a server which was killed has left."""
        process.sweep(self.machines)
        if self.containers_file.exists():
            from localcloud.instances import container  # looks for Docker's tools, which nobody else needs

            container.sweep(container.label_of(self.port))
            self.containers_file.unlink()


def _runs(pid: int) -> bool:
    """Whether the process lives; the remains of one that nobody has waited for do not."""
    found = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


def runtime_folder() -> Path:
    """This user's folder for pid and log files; made when missing, readable by nobody else."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "localcloud" if base else Path(f"/tmp/localcloud-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} belongs to somebody else")
    return folder


def up(daemon: Daemon, kind: str, options: Sequence[str]) -> int:
    """Start localcloud unless it is up."""
    said = daemon.status()
    if said and said["instances"] != kind:
        print(f"localcloud is up with instances of the kind {said['instances']}: end it first (down)", file=sys.stderr)
        return 1
    if said:
        print(f"localcloud is already up: {daemon.url}")
    elif daemon.taken():
        print(
            f"port {daemon.port} is taken by something that is not localcloud; end it, or choose another --port",
            file=sys.stderr,
        )
        return 1
    else:
        print(f"starting localcloud on port {daemon.port} ...", flush=True)
        if kind == "container":
            daemon.containers_file.touch()
        daemon.start(options)
        print(f"localcloud is up: {daemon.url} (log: {daemon.log_file})")
    print(f"A page that draws it: {daemon.url}")
    print(
        "\nTo use it from this shell:\n"
        f"  export AWS_ENDPOINT_URL={daemon.url} AWS_DEFAULT_REGION=us-east-1\n"
        "  export AWS_ACCESS_KEY_ID=localcloud-access-key AWS_SECRET_ACCESS_KEY=localcloud-secret-key"
    )
    return 0


def down(daemon: Daemon) -> int:
    """End localcloud, if it is up."""
    said = daemon.status()
    pid = int(said["pid"]) if said else daemon.stuck()
    if pid is None:
        daemon.pid_file.unlink(missing_ok=True)
        daemon.sweep()
        print(f"localcloud is not up on port {daemon.port}")
        return 0
    daemon.stop(pid)
    daemon.sweep()
    print(f"localcloud on port {daemon.port} has ended")
    return 0


def status(daemon: Daemon) -> int:
    """Say what stands."""
    said = daemon.status()
    if said is None:
        print(f"localcloud is not up on port {daemon.port}")
        return EXIT_NOT_UP
    print(
        f"localcloud is up: {daemon.url}, pid {said['pid']}, for {said['uptime_seconds']:.0f} s, {said['calls']} calls"
    )
    print(f"account {said['account']}, region {said['region']}")
    print(
        f"latency {said['latency_ms']:g} ms, trace {said['trace'] or 'off'}, IAM {'enforced' if said['enforce_iam'] else 'not enforced'}"
    )
    print(f"instances are {KINDS[said['instances']]}")
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
                        f"{at}  {event['group']}  {event['instance_id']}  {event['before'] or '-'} -> {event['after'] or '-'}",
                        flush=True,
                    )
            time.sleep(FOLLOW_SECONDS)
    except (OSError, ValueError):
        print(f"localcloud is not up on port {daemon.port}")
        return EXIT_NOT_UP
    except KeyboardInterrupt:
        return 0


def serve(given: argparse.Namespace) -> int:
    """Serve in the foreground until interrupted or told to end."""
    from localcloud.server import application as server
    from localcloud.world import World  # moto: one to two seconds that the other commands need not pay

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    world = World()
    world.clock.run_at(given.speed)
    httpd = server.make(given.port, given.latency_ms, given.trace, given.enforce_iam, world)

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        # Only now, as the port is ours: a host begins with an end to what an earlier one of its port left.
        world.use(_host(given, httpd.server_port, world))
        print(f"localcloud serves http://127.0.0.1:{httpd.server_port}", flush=True)
        httpd.serve_forever()
    except (OSError, Refused) as problem:
        print(f"{given.instances} instances cannot run here: {problem}", file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        httpd.server_close()
        world.close()
    return 0


def _host(given: argparse.Namespace, port: int, world: World) -> Host:
    """What runs instances, as the options say."""
    match given.instances:
        case "process":
            folder, stop = Daemon(port).machines, given.stop_seconds or process.STOP_SECONDS
            return process.ProcessHost(
                port,
                world,
                process.parsed(given.run),
                folder,
                region=seed.REGION,
                serve=world.metadata.serve,
                stop_seconds=stop,
            )
        case "container":
            from localcloud.instances import container  # looks for Docker's tools, which nobody else needs

            return container.open_host(
                port, world, serve=world.metadata.serve, say=lambda line: print(f"{PROGRESS}{line}", flush=True)
            )
    return world.simulated(given.boot_seconds or 0.0, given.agent_seconds)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m localcloud", description="An embedded AWS on 127.0.0.1.")
    result.add_argument("command", choices=["up", "down", "status", "events", "serve"])
    result.add_argument("--port", type=int, default=PORT, help="default: %(default)s")
    serving = result.add_argument_group("up and serve")
    serving.add_argument("--latency-ms", type=float, default=0, help="added to every API call")
    serving.add_argument("--trace", type=Path, metavar="FILE", help="append one JSON line a call")
    serving.add_argument("--speed", type=_speed, default=1.0, help="how many times as fast groups' time passes")
    serving.add_argument(
        "--enforce-iam", action="store_true", help="hold users' and roles' calls against their policies"
    )
    serving.add_argument(
        "--instances", choices=list(KINDS), default="simulated", help="what an instance is; default: %(default)s"
    )
    serving.add_argument("--command", dest="run", metavar="COMMAND", help="what each instance runs (process)")
    serving.add_argument("--stop-seconds", type=_seconds, help="from SIGTERM to SIGKILL; default: 10 (process)")
    serving.add_argument(
        "--boot-seconds", type=_seconds, help="until an instance runs, in groups' time; default: 0 (simulated)"
    )
    serving.add_argument(
        "--agent-seconds",
        type=_seconds,
        help="have instances complete their hooks: draining takes so long, in groups' time (simulated)",
    )
    return result


def misfit(given: argparse.Namespace) -> str | None:
    """What is wrong with options that are each right, in one line; None if nothing is."""
    for option, value, kind in (
        ("--command", given.run, "process"),
        ("--stop-seconds", given.stop_seconds, "process"),
        ("--boot-seconds", given.boot_seconds, "simulated"),
        ("--agent-seconds", given.agent_seconds, "simulated"),
    ):
        if value is not None and given.instances != kind:
            return f"{option} is for --instances {kind}, not {given.instances}"
    if given.instances == "process" and given.run is None:
        return "--instances process needs --command"
    if given.run is not None:
        try:
            process.parsed(given.run)
        except ValueError as problem:
            return f"--command: {problem}"
    if given.instances == "container":
        from localcloud.instances import container

        try:
            container.check()
        except Refused as problem:
            return str(problem)
    return None


def _speed(text: str) -> float:
    if (speed := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return speed


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("must not be negative")
    return seconds


def _repeated(given: argparse.Namespace) -> list[str]:
    """The options for the server in the background."""
    options = ["--latency-ms", str(given.latency_ms), "--speed", str(given.speed), "--instances", given.instances]
    for option in ("stop_seconds", "boot_seconds", "agent_seconds"):
        if (value := getattr(given, option)) is not None:
            options.append(f"--{option.replace('_', '-')}={value}")
    options += [f"--command={shlex.join(process.parsed(given.run))}"] if given.run else []
    options += ["--trace", str(given.trace.absolute())] if given.trace else []
    return [*options, *(["--enforce-iam"] if given.enforce_iam else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = parser().parse_args(arguments)
    if given.command in ("up", "serve") and (problem := misfit(given)):
        print(f"localcloud: {problem}", file=sys.stderr)
        return EXIT_USAGE
    if given.command == "serve":
        return serve(given)
    daemon = Daemon(given.port)
    if given.command == "up":
        return up(daemon, given.instances, _repeated(given))
    return {"down": down, "status": status, "events": events}[given.command](daemon)


if __name__ == "__main__":
    sys.exit(main())
