"""`hold`, `resume`, `renew` and `release` by a person on the host: the wish is left where `watch` reads it."""

from __future__ import annotations

from .ports import PortError, Ports, Procedure
from .settings import Settings
from .termination import MARGIN_SECONDS, SECOND_SIGNAL_SECONDS
from .wishes import Wish

POLL_SECONDS = 1.0
TAKEN_SECONDS = 30.0  # watch reads it within two seconds
LOG_SECONDS = 30.0
STARTS = 2  # the next worker, and the former one if that does not start


def request(ports: Ports, settings: Settings, wish: Wish) -> Procedure[int]:
    """Leave the wish and wait for its end; 0: done, 1: failed, ignored, superseded, or not in time.

    `watch` goes on if this is interrupted. The limit leaves the running job what a drain leaves it.
    """
    clock, journal = ports.clock, ports.journal
    began, logged, left, answer = clock.monotonic(), clock.monotonic(), False, ""
    limit = settings.drain_limit_seconds + settings.stop_grace_seconds + SECOND_SIGNAL_SECONDS + 4 * MARGIN_SECONDS
    limit += (1 + STARTS) * settings.boot_timeout_seconds if wish.verb != "hold" else 0
    while (now := clock.monotonic()) < began + limit:
        try:
            if not left:
                ports.records.write_wish(wish.text)
                left = True
                journal.step("wish_left", wish=wish.text, limit=limit)
            control = ports.records.control()
        except PortError as error:
            answer = f"{error.call}: {error.code}"
        else:
            taken, answer = wish.id in control.handled, control.answer
            if taken and control.wish != wish.text:
                return _end(ports, wish, answer)
            if not taken and now >= began + TAKEN_SECONDS:
                journal.step("wish_not_taken", "error", wish=wish.name, remedy="systemctl status ghosthands-watch")
                return 1
        if now >= logged + LOG_SECONDS:
            logged = now
            journal.step("wish_waits", wish=wish.name, answer=answer, seconds=round(now - began))
        yield POLL_SECONDS
    journal.step("wish_unfinished", "error", wish=wish.name, answer=answer, limit=limit)
    return 1


def _end(ports: Ports, wish: Wish, answer: str) -> int:
    name, _blank, said = answer.partition(" ")
    state, _blank, reason = (said if name == wish.name else f"superseded by {name}").partition(" ")
    ports.journal.step("wish_ended", "info" if state == "done" else "error", wish=wish.name, state=state, reason=reason)
    return 0 if state == "done" else 1
