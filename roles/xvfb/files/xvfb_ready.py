"""`xvfb_ready.py SOCKET` waits until an X server accepts clients at SOCKET: exit code 0, or 1 and a message after 15 s.

Runs on the host's own Python, 3.9 on Amazon Linux 2023.
"""

from __future__ import annotations

import socket
import sys
import time

TIMEOUT_SECONDS = 15.0  # less than the unit's TimeoutStartSec
#: X Window System Protocol, version 11, chapter 8 (Connection Setup): little-endian, version 11.0, no authorisation.
SETUP_REQUEST = b"l\0" + (11).to_bytes(2, "little") + bytes(8)
#: The first byte of the answer of a server that accepts the client.
SUCCESS = b"\1"


def accepts_clients(path: str, timeout: float) -> bool:
    """Whether an X server at this socket accepts a client. Raises OSError if there is none or it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(SETUP_REQUEST)
        return connection.recv(1) == SUCCESS


def main(path: str, timeout: float = TIMEOUT_SECONDS) -> int:
    """Wait for the X server; returns the exit code."""
    problem = "it refuses clients"
    deadline = time.monotonic() + timeout
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            if accepts_clients(path, remaining):
                return 0
        except OSError as error:  # not there yet, or the socket of a server that was killed
            problem = str(error)
        time.sleep(0.05)
    print(f"no X server at {path}: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
