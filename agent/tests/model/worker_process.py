"""The model of the worker as a real process, with its HTTP server and its signals.

`python -m model.worker_process --queue FILE` reads the environment variables that the real worker reads: GH_WORKER_ID,
EC2_INSTANCE_ID, EC2_IP, AWS_ASG_NAME, AWS_LIFECYCLE_HOOK_NAME, GH_WORKER_PORT, JOB_DISPATCH_MODE. Like the real one it
completes that hook at SIGTERM if AWS_ASG_NAME is set, and only logs errors of that call.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from model.file_job_queue import FileJobQueue
from model.job_queue import MemoryJobQueue
from model.worker import CLAIM_SECONDS, RUNNING_SECONDS, Guard, Worker, WorkerOptions

LONGEST_SLEEP_SECONDS = 0.2


class WorkerProcess:
    """The process: one model, one lock, one HTTP server."""

    def __init__(self, queue: FileJobQueue, options: WorkerOptions, port: int, crashes_after: float = math.inf) -> None:
        environment = os.environ
        self.worker_id = environment.get("GH_WORKER_ID") or f"worker-{os.getpid()}"
        self.instance_id = environment.get("EC2_INSTANCE_ID", "unknown")
        self.ip = environment.get("EC2_IP", "unknown")
        self.began = time.monotonic()
        self.crashes_after = crashes_after
        self.queue = queue
        self.name = f"{self.worker_id}/{os.getpid()}"
        self.lock = threading.Lock()
        self._signals = 0
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        database = cast("MemoryJobQueue", queue)  # it has the same methods
        handler = type("Handler", (_Handler,), {"process": self})
        try:
            self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:  # the real worker binds its port after its first pickup
            self.model = Worker(self.name, options, database, time.time(), port_is_taken=True)
            raise
        self.server.daemon_threads = True
        self.model = Worker(self.name, options, database, time.time())

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals += 1

    def run(self) -> int:
        """Work until a signal ends it; return the exit code."""
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        while self.model.exit_code is None:
            with self.lock:
                now = time.time()
                while self._signals and self.model.exit_code is None:
                    self._signals -= 1
                    self.model.sigterm(now, "SIGTERM")
                self.model.advance(now)
                completes_hook, self.model.completes_hook = self.model.completes_hook, False
                due = self.model.next_action_at(now)
            if completes_hook:
                complete_hook(self.instance_id)
            if time.monotonic() - self.began > self.crashes_after:
                self.queue.record_death(self.name, "worker crashed", time.time())
                os._exit(139)
            if self.model.exit_code is None:
                self._sleep(min(max(due - time.time(), 0.0), LONGEST_SLEEP_SECONDS))
        return self.model.exit_code

    def _sleep(self, seconds: float) -> None:
        if select.select([self._woken], [], [], seconds)[0]:
            self._woken.recv(64)

    def status(self) -> dict[str, Any]:
        """`GET /worker/status`."""
        return {
            **self.model.status(self.instance_id),
            "ec2_ip": self.ip,
            "asg_name": os.environ.get("AWS_ASG_NAME"),
            "uptime_ms": int((time.monotonic() - self.began) * 1000),
        }

    def drain(self) -> dict[str, Any]:
        """`POST /worker/drain`."""
        with self.lock:
            self.model.drain(time.time())
        self._wake.send(b"!")
        return {"status": "draining", "active_jobs": self.model.active_jobs, "worker_id": self.worker_id}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    process: WorkerProcess

    def do_GET(self) -> None:
        with self.process.lock:
            if self.path == "/worker/status":
                self._respond(200, self.process.status())
            else:
                self._respond(404, {"error": "not_found"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/worker/drain":
            self._respond(200, self.process.drain())
        else:
            self._respond(404, {"error": "not_found"})

    def _respond(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def complete_hook(instance_id: str) -> None:
    """CompleteLifecycleAction CONTINUE, as the worker does at every SIGTERM if AWS_ASG_NAME is set."""
    if not (group := os.environ.get("AWS_ASG_NAME")):
        return
    import boto3  # takes a second

    hook = os.environ.get("AWS_LIFECYCLE_HOOK_NAME", "gh-worker-termination")
    try:
        client = boto3.client("autoscaling", region_name=os.environ.get("AWS_REGION", "us-east-1"))
        client.complete_lifecycle_action(
            AutoScalingGroupName=group, LifecycleHookName=hook, InstanceId=instance_id, LifecycleActionResult="CONTINUE"
        )
    except Exception as error:  # as in the real worker
        print(f"Failed to complete ASG lifecycle action: {error}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the worker; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.worker_process", description=__doc__)
    parser.add_argument("--queue", type=Path, required=True, help="file of the job queue; created if it does not exist")
    parser.add_argument("--port", type=int, default=int(os.environ.get("GH_WORKER_PORT", "3101")))
    parser.add_argument("--mode", choices=("legacy", "queue"), default=os.environ.get("JOB_DISPATCH_MODE", "legacy"))
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how many times as fast as the real worker's its times pass"
    )
    parser.add_argument(
        "--drains-itself", action="store_true", help="not today's worker: drain and SIGTERM wait for the end of the job"
    )
    parser.add_argument("--guard", action="store_true", help="with the guard in its process")
    parser.add_argument("--fails-jobs", action="store_true", help="of a bad image: every job fails")
    parser.add_argument("--crashes-after", type=float, default=math.inf, help="of a bad image: ends after so long")
    options = parser.parse_args(arguments)
    if not 0 < options.speed < math.inf:
        parser.error("--speed is a number above 0")
    guard = Guard(delay_seconds=5.0 / options.speed) if options.guard else None
    worker = WorkerOptions(
        options.mode,
        guard,
        options.drains_itself,
        options.fails_jobs,
        claim_seconds=CLAIM_SECONDS,
        running_seconds=RUNNING_SECONDS,
    ).sped_up(options.speed)
    return WorkerProcess(FileJobQueue(options.queue), worker, options.port, options.crashes_after).run()


if __name__ == "__main__":
    sys.exit(main())
