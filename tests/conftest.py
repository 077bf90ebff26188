"""Settings of every test session."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let commands under test receive SIGINT, also where pytest was started as a background job that ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
