#!/usr/bin/python3.11
"""`bun` in the tests' image: `bun [--preload FILE] PROGRAM` runs a fake for each of the real worker's three programs.

With a preloaded file, which must exist, the worker acts and answers like one with the drain guard.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """The api's `/health`, and two checks of the deploy server: `/docker` and `/login`."""

    def do_GET(self) -> None:
        check = {"/health": lambda: True, "/docker": docker_answers, "/login": login_is_readable}.get(self.path)
        self.send_response(200 if check and check() else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


def docker_answers() -> bool:
    """Whether Docker answers on its socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect("/var/run/docker.sock")
        except OSError:
            return False
        connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
        return b" 200 " in connection.recv(64)


def login_is_readable() -> bool:
    """Whether the registry login can be read."""
    return os.access(Path(os.environ["DOCKER_CONFIG_PATH"]).parent, os.R_OK)


def serve(port: int) -> None:
    """Serve until SIGTERM, for which process 1 of a container needs a handler."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def work(guarded: bool) -> int:
    """Run the modelled worker. It does not complete a hook: for that it needs boto3, which is not installed here."""
    os.environ.pop("AWS_ASG_NAME", None)
    sys.path.insert(0, "/srv/worker")
    from model.worker_process import main

    return main(["--queue", "/tmp/jobs", *(["--guard"] if guarded else [])])


if __name__ == "__main__":
    guarded = sys.argv[1] == "--preload"
    if guarded and not Path(sys.argv[2]).is_file():
        sys.exit(f"preload not found {sys.argv[2]}")
    match sys.argv[3 if guarded else 1].rpartition("/")[2]:
        case "server.ts":
            serve(int(os.environ["GH_API_PORT"]))
        case "deploy-server.ts":
            # As the real image's user, with the groups that the compose file adds. The whole image cannot have that
            # user here: for its health check the engine would need SYS_PTRACE, which the tests' hosts do not have.
            os.setgid(1000)
            os.setuid(1000)
            serve(int(os.environ["GH_DEPLOY_PORT"]))
        case "main.ts" | "workerLauncher.ts":
            sys.exit(work(guarded))
        case other:
            sys.exit(f"no such program: {other}")
