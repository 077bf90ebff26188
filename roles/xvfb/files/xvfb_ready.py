"""`xvfb_ready.py SOCKET` ends well once an X server answers there; with exit code 1 and a line where none does within 15 s, under the unit's start timeout.

Runs on the host's own Python, 3.9 on Amazon Linux 2023.
"""

from __future__ import annotations

import socket
import sys
import time

SECONDS = 15.0
# X Window System Protocol, version 11, chapter 8 (Connection Setup): little-endian, version 11.0, no authorisation. The answer of a server that takes the
# client begins with 1.
HELLO = b"l\0" + (11).to_bytes(2, "little") + bytes(8)


def answers(path: str, seconds: float) -> bool:
    """Whether an X server at this socket takes a client. Raises OSError where there is none, or it is silent for so many seconds."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        connection.sendall(HELLO)
        return connection.recv(1) == b"\1"


def main(path: str, seconds: float = SECONDS) -> int:
    """Exit code 0 or 1."""
    problem = "it refuses clients"
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            if answers(path, left):
                return 0
        except OSError as error:  # not there yet, or left over from one that was killed
            problem = str(error)
        time.sleep(0.05)
    print(f"no X server at {path}: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
