"""`ghosthands-agent VERB`: the agent's verbs, their exit codes, and the sleeping between a procedure's steps."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from . import wiring
from .log_shipper import JOURNAL
from .paths import API_PORT, WORKER_PORT, Paths
from .ports import PortError, Ports, Procedure
from .settings import BadSettings, Settings, parse
from .wishes import VERBS as VERBS_OF_WISHES
from .wishes import Wish, digest_of

T = TypeVar("T")
VERBS = {
    "boot": "bring the worker up; systemd starts it once per boot",
    "watch": "protect and drain the worker, replace an instance that cannot serve; systemd keeps it running",
    "drain": "have watch drain and stop the worker, and wait for that",
    "hold": "have watch let the worker take no more jobs, and wait until it has none",
    "resume": "have watch let it work again",
    "renew": "have watch read the secret again and restart the worker when it is idle",
    "release": "have watch pull IMAGE (by digest) and switch to it when the worker is idle; back if that fails",
    "stop": "stop the worker and the other services, for a shutdown or a reboot",
    "refresh-registry-login": "write a fresh login for the image's registry",
    "doctor": "check every precondition of the agent on this host",
    "collect": "write a support bundle of this host, its secrets masked, to FILE",
    "disk-guard": "remove unused images if Docker's disk is fuller than PERCENT",
    "journal-file": "follow the journal into the file that is shipped",
    "check-compose": "check that FILE is a compose file with the three services",
    "pull-image": "pull IMAGE, logging in where its registry is ECR",
}
ARGUMENTS = {
    "collect": "FILE",
    "release": "IMAGE",
    "disk-guard": "PERCENT",
    "check-compose": "FILE",
    "pull-image": "IMAGE",
}
FAILED, MISCONFIGURED, FAULT, TERMINATED = 1, 2, 70, 128 + signal.SIGTERM
LOGIN_SECONDS = 40.0
POLL_SECONDS = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code.

    0: done. 1: it could not be done. 2: agent.conf or the command line is wrong. 70: a fault of the agent.
    75: `watch` has to be restarted (watch.NO_CREDENTIALS_EXIT).
    """
    options = parsed(arguments)
    journal = wiring.journal()
    paths = Paths(options.root, api_port=options.api_port, worker_port=options.worker_port)
    try:
        return run_verb(options, paths)
    except (BadSettings, BadArgument) as problem:
        journal.step("misconfigured", "error", verb=options.verb, reason=str(problem))
        return MISCONFIGURED
    except PortError as problem:
        said = {"output": problem.output} if problem.output else {}
        journal.step("failed", "error", verb=options.verb, call=problem.call, code=problem.code, **said)
        return FAILED
    except Exception as problem:
        # Its text may quote a secret. The place that it came from does not.
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        journal.step("fault", "error", verb=options.verb, kind=type(problem).__name__, at=place)
        return FAULT


def run_verb(options: argparse.Namespace, paths: Paths) -> int:
    """The verb's exit code. Raises BadSettings, PortError."""
    if options.verb == "disk-guard":
        from . import disk_guard

        return disk_guard.main(float(options.argument), Path(os.environ["STATE_DIRECTORY"]))
    if options.verb == "journal-file":
        from . import journal_file

        return journal_file.main(Path(JOURNAL), Path(os.environ["STATE_DIRECTORY"], "cursor"))
    if options.verb == "check-compose":
        from .host_setup import check_compose

        return check_compose(Path(options.argument))
    if options.verb == "pull-image":
        from .host_setup import pull_image

        return pull_image(options.argument)
    # SIGTERM ends the agent at once, with nothing undone or completed. The next one goes on from what it finds.
    # For watch that is an orderly end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if options.verb == "watch" else TERMINATED))
    if options.verb == "doctor":
        from .doctor import doctor

        return doctor(options.config or paths.config, paths, as_json=options.json)
    if options.verb == "collect":
        from .bundle import NoBundle, write_bundle

        try:
            return write_bundle(Path(options.argument), options.config or paths.config, paths)
        except NoBundle as problem:
            print(f"ghosthands-agent: {problem}", file=sys.stderr)
            return FAILED
    try:
        settings = read(options.config or paths.config)
    except BadSettings as problem:
        if options.verb != "watch":
            raise
        return run(watch_unconfigured(str(problem), paths))
    try:
        ports = wiring.ports(settings, paths, wiring.journal())
    except ValueError as problem:
        raise BadSettings(str(problem)) from None
    if options.verb in VERBS_OF_WISHES:
        import secrets

        from .request import request

        try:
            digest = digest_of(options.argument, settings.image) if options.argument else ""
        except ValueError as problem:
            raise BadArgument(str(problem)) from None
        return run(request(ports, settings, Wish(options.verb, secrets.token_hex(4), digest)))
    return run(procedure(options.verb, ports, settings, paths)) or 0


class BadArgument(ValueError):
    """A verb's argument is not valid; the text says what to write."""


def procedure(verb: str, ports: Ports, settings: Settings, paths: Paths) -> Procedure[int | None]:
    """A verb's procedure, imported when it is needed: `watch`, which keeps running, loads nothing of `boot`."""
    if verb == "watch":
        from .watch import watch

        return watch(ports, settings, paths=paths)
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


def watch_unconfigured(problem: str, paths: Paths) -> Procedure[int]:
    """`watch` where agent.conf is missing or refused: the instance is replaced."""
    from .unconfigured import find_settings, without_configuration
    from .watch import watch

    journal = wiring.journal()
    journal.step("misconfigured", "error", verb="watch", reason=problem)
    try:
        ports, region = wiring.ports(without_configuration(), paths, journal), wiring.metadata().region
    except ValueError as wrong:
        raise BadSettings(str(wrong)) from None
    settings = yield from find_settings(
        ports, region, lambda region: wiring.account(without_configuration(region)).call
    )
    return (yield from watch(wiring.ports(settings, paths, journal), settings, problem, paths))


def refresh_registry_login(ports: Ports, settings: Settings) -> Procedure[int]:
    """The verb of that name."""
    from .registry import ecr_region, host

    if ecr_region(settings.image) is None:
        ports.journal.step("registry_login_not_needed", registry=host(settings.image), reason="not ECR")
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
    """Run a procedure to its end; its result."""
    while True:
        try:
            pause = next(procedure)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        time.sleep(pause)


def read(config: Path) -> Settings:
    """The settings in agent.conf. Raises BadSettings, also where there is no such file."""
    try:
        return parse(config.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BadSettings(f"{config} cannot be read ({problem.strerror}): user data writes it.") from None
    except UnicodeError:
        raise BadSettings(f"{config} is not UTF-8.") from None


class _Version(argparse.Action):
    def __call__(self, *_: Any) -> NoReturn:
        from importlib.metadata import version  # costs every other verb 20 ms

        print(version("ghosthands-agent"))
        sys.exit(0)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, which are the same for all verbs. Exits with 2 where they are wrong."""
    verbs = "\n".join(f"  {' '.join([verb, ARGUMENTS.get(verb, '')]):24}{text}" for verb, text in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="ghosthands-agent", description=f"verbs:\n{verbs}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB")
    parser.add_argument("argument", nargs="?", metavar="ARGUMENT", help="what the verb acts on, see above")
    parser.add_argument("--config", type=Path, help="agent.conf; default: /etc/ghosthands/agent.conf under --root")
    parser.add_argument("--root", type=Path, default=Path("/"), help="directory above every path; for tests")
    parser.add_argument("--worker-port", type=int, default=WORKER_PORT, help="default: %(default)s")
    parser.add_argument("--api-port", type=int, default=API_PORT, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="doctor: findings as JSON")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    options = parser.parse_args(arguments)
    if (options.argument is None) == (options.verb in ARGUMENTS):
        parser.error(f"{options.verb} takes {ARGUMENTS.get(options.verb, 'no argument')}")
    return options


if __name__ == "__main__":
    sys.exit(main())
