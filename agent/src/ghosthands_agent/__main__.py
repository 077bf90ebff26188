"""`python -m ghosthands_agent VERB`: the verbs of the agent, their exit codes, and the sleeping between a procedure's steps."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from . import wiring
from .paths import API_PORT, WORKER_PORT, Paths
from .ports import PortError, Ports, Procedure
from .settings import BadSettings, Settings, parse

T = TypeVar("T")
VERBS = {
    "boot": "bring the worker up; what systemd starts once per boot",
    "watch": "shield and drain the worker; what systemd keeps running",
    "drain": "have watch empty and stop the worker, and wait for that",
    "stop": "stop the worker and the rest, for a shutdown or a reboot",
    "refresh-registry-login": "write a fresh login for the image's registry",
    "doctor": "say what on this host is not as the agent needs it",
}
FAILED, MISCONFIGURED, FAULT, TERMINATED = 1, 2, 70, 128 + signal.SIGTERM
LOGIN_SECONDS = 40.0
POLL_SECONDS = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code: 0 it is done, 1 it could not be done, 2 agent.conf or the command line is wrong, 70 a fault of the agent."""
    options = command_line().parse_args(arguments)
    journal = wiring.journal()
    paths = Paths(options.root, api_port=options.api_port, worker_port=options.worker_port)
    # SIGTERM ends it here and now, with nothing undone or completed. The next life goes on from what the world says; for watch that is an orderly end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if options.verb == "watch" else TERMINATED))
    try:
        if options.verb == "doctor":
            from .doctor import doctor

            return doctor(options.config or paths.config, paths, as_json=options.json)
        try:
            settings = read(options.config or paths.config)
            ports = wiring.ports(settings, paths, journal)
        except ValueError as problem:
            journal.step("misconfigured", "error", verb=options.verb, reason=str(problem))
            return MISCONFIGURED
        return run(procedure(options.verb, ports, settings, paths)) or 0
    except PortError as problem:
        journal.step("failed", "error", verb=options.verb, call=problem.call, code=problem.code)
        return FAILED
    except Exception as problem:
        # Its text may quote anything; where it came from may not.
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        journal.step(
            "fault",
            "error",
            verb=options.verb,
            kind=type(problem).__name__,
            at=f"{Path(frame.filename).name}:{frame.lineno}",
        )
        return FAULT


def procedure(verb: str, ports: Ports, settings: Settings, paths: Paths) -> Procedure[int | None]:
    """A verb's procedure, imported when it is needed: `watch`, which stays, holds nothing of `boot`."""
    if verb == "watch":
        from .watch import watch

        return watch(ports, settings)
    if verb == "boot":
        from .boot import boot

        return boot(ports, settings, paths)
    if verb == "drain":
        from .drain import request_drain

        return request_drain(ports, settings)
    if verb == "stop":
        from .stop import stop

        return stop(ports, settings)
    return refresh_registry_login(ports, settings)


def refresh_registry_login(ports: Ports, settings: Settings) -> Procedure[int]:
    """The verb of that name."""
    from .registry import ecr_region, host

    if ecr_region(settings.image) is None:
        ports.journal.step("registry_login_not_needed", registry=host(settings.image), reason="it is no ECR")
        return 0
    task, until = ports.registry.login(), ports.clock.monotonic() + LOGIN_SECONDS
    while not task.done() and ports.clock.monotonic() < until:
        yield POLL_SECONDS
    if not task.done():
        ports.journal.step("registry_login_failed", "error", code="Timeout")
        return FAILED
    task.result()
    ports.journal.step("registry_login_written", registry=host(settings.image))
    return 0


def run(procedure: Procedure[T]) -> T:
    """Live a procedure to its end."""
    while True:
        try:
            pause = next(procedure)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        time.sleep(pause)


def read(config: Path) -> Settings:
    """agent.conf, understood. Raises BadSettings, also where there is no such file."""
    try:
        return parse(config.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BadSettings(f"{config} cannot be read ({problem.strerror}): user data writes it.") from None
    except UnicodeError:
        raise BadSettings(f"{config} is not UTF-8.") from None


def command_line() -> argparse.ArgumentParser:
    """The options, the same for all verbs."""
    verbs = "\n".join(f"  {verb:24}{what}" for verb, what in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="ghosthands-agent", description=f"verbs:\n{verbs}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB")
    parser.add_argument("--config", type=Path, help="agent.conf; default: /etc/ghosthands/agent.conf under --root")
    parser.add_argument("--root", type=Path, default=Path("/"), help="what every path lies under; for tests")
    parser.add_argument("--worker-port", type=int, default=WORKER_PORT, help="default: %(default)s")
    parser.add_argument("--api-port", type=int, default=API_PORT, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="doctor: findings as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
