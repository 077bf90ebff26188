#!/usr/bin/python3.11
"""What stands for bun in the tests' image: `bun PROGRAM` runs the real worker's three programs as their stand-ins."""

from __future__ import annotations

import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answers(BaseHTTPRequestHandler):
    """The api's /health; of the deploy server /docker (whether Docker's socket answers it) and /login (whether it can read the registry login)."""

    def do_GET(self) -> None:
        found = {"/health": lambda: True, "/docker": docker_answers, "/login": login_is_there}.get(
            self.path, lambda: False
        )()
        self.send_response(200 if found else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


def docker_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as there:
        try:
            there.connect("/var/run/docker.sock")
        except OSError:
            return False
        there.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return b" 200 " in there.recv(64)


def login_is_there() -> bool:
    return os.access(Path(os.environ["DOCKER_CONFIG_PATH"]).parent, os.R_OK)


def serve(port: int) -> None:
    """As process 1 a program ends by SIGTERM only if it says so."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()


def work() -> int:
    """The chaos tests' worker. It would complete a hook by boto3, which is not here; and the hook that it is told of is not the hook."""
    os.environ.pop("AWS_ASG_NAME", None)
    sys.path.insert(0, "/srv/worker")
    from schedules.stand_in import main

    return main(["--ledger", "/tmp/ledger"])


if __name__ == "__main__":
    match sys.argv[1].rpartition("/")[2]:
        case "server.ts":
            serve(int(os.environ["GH_API_PORT"]))
        case "deploy-server.ts":
            # As the real image's user, with the groups that the compose file adds. The whole image cannot be that user here: for its health check the
            # engine would need a capability (SYS_PTRACE) that the tests' hosts do not have.
            os.setgid(1000)
            os.setuid(1000)
            serve(int(os.environ["GH_DEPLOY_PORT"]))
        case "main.ts":
            sys.exit(work())
        case other:
            sys.exit(f"no such program: {other}")
