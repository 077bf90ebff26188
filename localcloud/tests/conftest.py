"""What every test of localcloud can rely on."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Programs under test react to SIGINT also where pytest's parent ignores it, as a shell's background jobs do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
