"""``localcloud up|down|status|events|serve``: start, stop and watch the emulator. Also ``python -m localcloud``."""

from __future__ import annotations

import argparse
import logging
import math
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud import seed
from localcloud.daemon import PROGRESS, Daemon, NotRunning
from localcloud.instances import process
from localcloud.instances.docker import HostError
from localcloud.strictness import STRICT, Strictness
from localcloud.throttling import AUTO_SCALING, Limit

if TYPE_CHECKING:
    from localcloud.ecr.server import RegistryServer
    from localcloud.instances import Host
    from localcloud.world import World

PORT = 5566
EXIT_FAILED, EXIT_USAGE, EXIT_NOT_UP = 1, 2, 3
#: What an instance can be.
KINDS = {
    "simulated": "simulated: nothing but time",
    "process": "processes of this machine",
    "container": "systemd containers",
}
#: How often `events` asks for new ones.
EVENTS_SECONDS = 0.5


def up(daemon: Daemon, kind: str, owner: str, options: Sequence[str]) -> int:
    """Start localcloud in the background unless this owner's is up."""
    status = daemon.status()
    if status and status["owner"] != owner:
        print(
            f"the localcloud on port {daemon.port} was started in {status['owner']} and is not shared: choose another "
            f"--port, stop it with `localcloud down --port {daemon.port}`, or share it with --owner {status['owner']}",
            file=sys.stderr,
        )
        return EXIT_FAILED
    if status and status["instances"] != kind:
        print(f"localcloud is up with {status['instances']} instances; run `localcloud down` first", file=sys.stderr)
        return EXIT_FAILED
    if status:
        print(f"localcloud is already up: {daemon.url}")
    elif daemon.port_taken():
        print(
            f"port {daemon.port} is taken by something that is not localcloud; stop that, or choose another --port",
            file=sys.stderr,
        )
        return EXIT_FAILED
    else:
        print(f"starting localcloud on port {daemon.port} ...", flush=True)
        if kind == "container":
            daemon.containers_file.touch()
        daemon.start(options, report=lambda line: print(line, flush=True))
        print(f"localcloud is up: {daemon.url} (log: {daemon.log_file})")
    print(f"A page that draws it: {daemon.url}")
    print(
        "\nTo use it from this shell:\n"
        f"  export AWS_ENDPOINT_URL={daemon.url} AWS_DEFAULT_REGION={seed.REGION}\n"
        "  export AWS_ACCESS_KEY_ID=localcloud-access-key AWS_SECRET_ACCESS_KEY=localcloud-secret-key"
    )
    return 0


def down(daemon: Daemon) -> int:
    """Stop localcloud, if it is up, and end what a killed one has left."""
    status = daemon.status()
    pid = int(status["pid"]) if status else daemon.pid()
    if pid is not None:
        daemon.stop(pid)
    daemon.clean_up()
    print(f"localcloud is not up on port {daemon.port}" if pid is None else f"stopped localcloud on port {daemon.port}")
    return 0


def status(daemon: Daemon) -> int:
    """Print the settings and the groups with their instances."""
    status = daemon.status()
    if status is None:
        return _not_up(daemon)
    uptime, calls = f"{status['uptime_seconds']:.0f} s", status["calls"]
    iam = "enforced" if status["enforce_iam"] else "not enforced"
    print(f"localcloud is up: {daemon.url}, pid {status['pid']}, for {uptime}, {calls} calls")
    print(f"started in {status['owner']}")
    print(f"account {status['account']}, region {status['region']}")
    print(f"latency {status['latency_ms']:g} ms, trace {status['trace'] or 'off'}, IAM {iam}")
    print(f"instances are {KINDS[status['instances']]}")
    for name, group in status["groups"].items():
        print(f"group {name}: desired {group['desired']}")
        for instance, state in group["instances"].items():
            print(f"  {instance}  {state}")
    return 0


def events(daemon: Daemon) -> int:
    """Print each change of an instance's lifecycle state as a line, until interrupted or localcloud stops."""
    after = 0
    try:
        while True:
            for event in daemon.events(after):
                after = event["number"]
                at = time.strftime("%H:%M:%S", time.gmtime(event["at"]))
                change = f"{event['before'] or '-'} -> {event['after'] or '-'}"
                print(f"{at}  {event['group']}  {event['instance_id']}  {change}", flush=True)
            time.sleep(EVENTS_SECONDS)
    except NotRunning:
        return _not_up(daemon)
    except KeyboardInterrupt:
        return 0


def _not_up(daemon: Daemon) -> int:
    print(f"localcloud is not up on port {daemon.port}")
    return EXIT_NOT_UP


def serve(options: argparse.Namespace) -> int:
    """Serve in the foreground until interrupted or terminated."""
    try:
        with Daemon(options.port).hold_pid_file():
            return _serve(options)
    except BlockingIOError:
        print(f"a localcloud of port {options.port} runs already", file=sys.stderr)
        return EXIT_FAILED


def _serve(options: argparse.Namespace) -> int:
    from localcloud.ecr.server import RegistryServer
    from localcloud.server import application  # imports moto: one to two seconds that the other commands need not take
    from localcloud.world import World

    registry: RegistryServer | None = None
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    world = World(_strictness(options))
    world.clock.run_at(options.speed)
    httpd = application.make(options.port, options.latency_ms, options.trace, options.enforce_iam, world, options.owner)

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        # After the port is ours, because a host begins by ending what an earlier one of its port has left.
        if options.instances == "container":
            registry = RegistryServer(httpd.app, Daemon(httpd.server_port).registry_folder)
        world.use(_host(options, httpd.server_port, world, registry))
        print(f"localcloud serves http://127.0.0.1:{httpd.server_port}", flush=True)
        httpd.serve_forever()
    except (OSError, HostError) as problem:
        print(f"{options.instances} instances cannot run here: {problem}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        httpd.server_close()
        world.close()
        if registry:
            registry.close()
    return 0


def _host(options: argparse.Namespace, port: int, world: World, registry: RegistryServer | None) -> Host:
    """What runs instances, by the options."""
    match options.instances:
        case "process":
            return process.ProcessHost(
                port,
                world,
                process.parse_command(options.run),
                Daemon(port).machines_folder,
                region=seed.REGION,
                serve=world.metadata.serve,
                stop_seconds=options.stop_seconds or process.STOP_SECONDS,
            )
        case "container":
            from localcloud.instances import container  # looks for Docker's tools, which nobody else needs

            def report(line: str) -> None:
                print(f"{PROGRESS}{line}", flush=True)

            surroundings = container.Surroundings(
                registry.access if registry else None,
                bool(options.operator_registry),
                options.forward or (),
                options.disk_gib,
            )
            return container.open_host(
                port, world, serve=world.metadata.serve, report=report, surroundings=surroundings
            )
    host = world.simulated(options.boot_seconds or 0.0, options.agent_seconds)
    host.completes_launches |= options.complete_launch_hooks
    return host


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="localcloud", description="An emulator of EC2 Auto Scaling with its instances, on 127.0.0.1."
    )
    result.add_argument(
        "command",
        choices=["up", "down", "status", "events", "serve"],
        help="start in the background, stop, print the status, follow changes of instances, serve in the foreground",
    )
    result.add_argument("--port", type=int, default=PORT, help="default: %(default)s")
    serving = result.add_argument_group("up and serve")
    serving.add_argument(
        "--owner",
        default=str(Path.cwd()),
        help="who may use it by `up`: two that know nothing of each other spoil each other's work; default: the "
        "working directory",
    )
    serving.add_argument("--latency-ms", type=float, default=0, help="delay of each API call")
    serving.add_argument("--trace", type=Path, metavar="FILE", help="append each API call to a file, as a line of JSON")
    serving.add_argument(
        "--speed", type=_speed, default=1.0, help="let the time of groups pass so many times as fast; default: 1"
    )
    serving.add_argument(
        "--enforce-iam", action="store_true", help="refuse what the policies of IAM users and roles do not allow"
    )
    serving.add_argument(
        "--no-throttling", action="store_true", help="let calls of EC2 and Auto Scaling be as many as they like"
    )
    serving.add_argument(
        "--auto-scaling-bucket",
        type=_limit,
        default=AUTO_SCALING,
        metavar="SIZE/PER_SECOND",
        help="the tokens that all calls of Auto Scaling share; default: %(default)s",
    )
    serving.add_argument(
        "--propagation-seconds",
        type=_seconds,
        default=STRICT.propagation_seconds,
        help="at most so long, in the groups' time, until changes of IAM take effect, and a fifth of it until Auto "
        "Scaling sees a launch template; 0: at once; default: %(default)s",
    )
    serving.add_argument(
        "--credentials-seconds",
        type=_seconds,
        default=STRICT.credentials_seconds,
        help="at most so long, in the groups' time, a new instance has no credentials; 0: never; default: %(default)s",
    )
    serving.add_argument(
        "--linked-roles", action="store_true", help="the account has Auto Scaling's and Spot's service-linked roles"
    )
    serving.add_argument(
        "--instances", choices=list(KINDS), default="simulated", help="what an instance is; default: %(default)s"
    )
    serving.add_argument("--command", dest="run", metavar="COMMAND", help="what each instance runs (process)")
    serving.add_argument(
        "--stop-seconds", type=_seconds, help="from SIGTERM to SIGKILL of an instance's command; default: 10 (process)"
    )
    serving.add_argument(
        "--boot-seconds", type=_seconds, help="until an instance runs, in the groups' time; default: 0 (simulated)"
    )
    serving.add_argument(
        "--agent-seconds",
        type=_seconds,
        help="instances complete their own hooks, after draining for so long in the groups' time (simulated)",
    )
    serving.add_argument(
        "--complete-launch-hooks",
        action="store_true",
        help="instances complete their launch hooks once they run, as an agent whose worker has started (simulated)",
    )
    serving.add_argument(
        "--forward",
        type=_ports,
        metavar="PORT,...",
        help="ports of this machine's loopback that instances reach at their network's gateway, such as a database's "
        "(container)",
    )
    serving.add_argument(
        "--disk-gib",
        type=_size,
        help="at most so large is the disk of an instance's Docker, whatever its volume; default: not limited "
        "(container)",
    )
    serving.add_argument(
        "--operator-registry",
        action="store_true",
        default=None,
        help="this machine, too, reaches the registry under ECR's name, by a line in /etc/hosts (container)",
    )
    return result


def conflict(options: argparse.Namespace) -> str | None:
    """Why options that are each valid do not go together, or cannot work here, in one line; None if they do."""
    for option, value, kind in (
        ("--command", options.run, "process"),
        ("--stop-seconds", options.stop_seconds, "process"),
        ("--boot-seconds", options.boot_seconds, "simulated"),
        ("--agent-seconds", options.agent_seconds, "simulated"),
        ("--complete-launch-hooks", options.complete_launch_hooks or None, "simulated"),
        ("--forward", options.forward, "container"),
        ("--disk-gib", options.disk_gib, "container"),
        ("--operator-registry", options.operator_registry, "container"),
    ):
        if value is not None and options.instances != kind:
            return f"{option} is for --instances {kind}, not {options.instances}"
    if options.instances == "process" and options.run is None:
        return "--instances process needs --command"
    if options.run is not None:
        try:
            process.parse_command(options.run)
        except ValueError as problem:
            return f"--command: {problem}"
    if options.instances == "container":
        from localcloud.instances import container

        try:
            container.check()
        except HostError as problem:
            return str(problem)
    return None


def _strictness(options: argparse.Namespace) -> Strictness:
    return Strictness(
        throttling=not options.no_throttling,
        auto_scaling_limit=options.auto_scaling_bucket,
        propagation_seconds=options.propagation_seconds,
        credentials_seconds=options.credentials_seconds,
        linked_roles=options.linked_roles,
    )


def _limit(text: str) -> Limit:
    try:
        return Limit.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(word) for word in text.split(","))
    if not all(0 < port < 65536 for port in ports):
        raise argparse.ArgumentTypeError("ports are 1 to 65535")
    return ports


def _size(text: str) -> int:
    if (size := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return size


def _speed(text: str) -> float:
    if (speed := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return speed


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("must not be negative")
    return seconds


def _arguments(options: argparse.Namespace) -> list[str]:
    """The options as arguments of the server in the background."""
    given = [
        f"--owner={options.owner}",
        "--latency-ms",
        str(options.latency_ms),
        "--speed",
        str(options.speed),
        "--instances",
        options.instances,
    ]
    for option in ("stop_seconds", "boot_seconds", "agent_seconds"):
        if (value := getattr(options, option)) is not None:
            given.append(f"--{option.replace('_', '-')}={value}")
    for option in ("auto_scaling_bucket", "propagation_seconds", "credentials_seconds"):
        given.append(f"--{option.replace('_', '-')}={getattr(options, option)}")
    given += ["--no-throttling"] if options.no_throttling else []
    given += [f"--forward={','.join(map(str, options.forward))}"] if options.forward else []
    given += [f"--disk-gib={options.disk_gib}"] if options.disk_gib else []
    given += ["--operator-registry"] if options.operator_registry else []
    given += ["--linked-roles"] if options.linked_roles else []
    given += ["--complete-launch-hooks"] if options.complete_launch_hooks else []
    given += [f"--command={shlex.join(process.parse_command(options.run))}"] if options.run else []
    given += ["--trace", str(options.trace.absolute())] if options.trace else []
    return [*given, *(["--enforce-iam"] if options.enforce_iam else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    if options.command in ("up", "serve") and (problem := conflict(options)):
        print(f"localcloud: {problem}", file=sys.stderr)
        return EXIT_USAGE
    if options.command == "serve":
        return serve(options)
    daemon = Daemon(options.port)
    if options.command == "up":
        return up(daemon, options.instances, options.owner, _arguments(options))
    return {"down": down, "status": status, "events": events}[options.command](daemon)


if __name__ == "__main__":
    sys.exit(main())
