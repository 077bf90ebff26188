"""What every test of this checkout can count on."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Commands under test are interrupted as from a terminal, also where whoever started pytest ignores SIGINT (as a shell's background jobs do)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
