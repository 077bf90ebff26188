"""A stand-in for the fleet's worker as a real process: the model of ``worker`` under the wall clock, its HTTP server, its signals.

``python -m schedules.stand_in --ledger FILE`` reads what the real worker reads from its environment: GH_WORKER_ID, EC2_INSTANCE_ID,
EC2_IP, AWS_ASG_NAME, AWS_LIFECYCLE_HOOK_NAME, GH_WORKER_PORT, JOB_DISPATCH_MODE. As the real one it completes that hook at SIGTERM when
AWS_ASG_NAME is set, and only logs what comes of it.
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
from typing import Any

from schedules.shared_ledger import SharedLedger
from schedules.worker import Habits, Worker

BEAT_SECONDS = 10.0
LONGEST_SLEEP = 0.2


class StandIn:
    """The process: one model, one lock, one HTTP server."""

    def __init__(self, ledger: SharedLedger, habits: Habits, pace: float, port: int) -> None:
        environment = os.environ
        self.worker_id = environment.get("GH_WORKER_ID") or f"worker-{os.getpid()}"
        self.instance_id = environment.get("EC2_INSTANCE_ID", "unknown")
        self.ip = environment.get("EC2_IP", "unknown")
        self.began = time.monotonic()
        self.pace = pace
        self.ledger = ledger
        self.process = f"{self.worker_id}/{os.getpid()}"
        self.lock = threading.Lock()
        self._signals = 0
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._beat_at = 0.0
        signal.set_wakeup_fd(self._bell.fileno())
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"stand_in": self}))
        self.server.daemon_threads = True
        self.model = Worker(self.process, habits, ledger, time.time())
        ledger.register(self.process, "active", self.instance_id, self.ip, time.time())

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals += 1

    def run(self) -> int:
        """Work until it is told to go; the exit code."""
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        while self.model.exit_code is None:
            with self.lock:
                now = time.time()
                while self._signals and self.model.exit_code is None:
                    self._signals -= 1
                    self.model.signal(now, "SIGTERM")
                self.model.advance(now)
                self._beat(now)
                wants, self.model.wants_completion = self.model.wants_completion, False
                due = self.model.due(now)
            if wants:
                self.ledger.register(self.process, "offline", self.instance_id, self.ip, now)
                complete_hook(self.instance_id)
            if self.model.exit_code is None:
                self._sleep(min(max(due - time.time(), 0.0), LONGEST_SLEEP))
        self.ledger.register(self.process, "offline", self.instance_id, self.ip, time.time())
        return self.model.exit_code

    def _sleep(self, seconds: float) -> None:
        if select.select([self._ear], [], [], seconds)[0]:
            self._ear.recv(64)

    def _beat(self, now: float) -> None:
        if now >= self._beat_at:
            self._beat_at = now + BEAT_SECONDS / self.pace
            self.ledger.beat(self.process, self.model.job.id if self.model.job else None, now)

    def status(self) -> dict[str, Any]:
        """``GET /worker/status``."""
        return {
            "worker_id": self.worker_id,
            "ec2_instance_id": self.instance_id,
            "ec2_ip": self.ip,
            "active_jobs": self.model.active_jobs,
            "max_concurrent": 1,
            "is_running": not self.model.shutting_down,
            "is_draining": self.model.is_draining,
            "dispatch_mode": self.model.habits.mode,
            "asg_name": os.environ.get("AWS_ASG_NAME"),
            "uptime_ms": int((time.monotonic() - self.began) * 1000),
        }

    def drain(self) -> dict[str, Any]:
        """``POST /worker/drain``."""
        with self.lock:
            self.model.drain(time.time())
        self.ledger.register(self.process, "draining", self.instance_id, self.ip, time.time())
        self._bell.send(b"!")
        return {"status": "draining", "active_jobs": self.model.active_jobs, "worker_id": self.worker_id}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def do_GET(self) -> None:
        stand_in = self.stand_in
        match self.path:
            case "/worker/status":
                with stand_in.lock:
                    self._answer(200, stand_in.status())
            case "/worker/health":
                with stand_in.lock:
                    self._answer(
                        stand_in.model.health,
                        {"active_jobs": stand_in.model.active_jobs, "deploy_safe": stand_in.model.health == 200},
                    )
            case _:
                self._answer(404, {"error": "not_found"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/worker/drain":
            self._answer(200, self.stand_in.drain())
        else:
            self._answer(404, {"error": "not_found"})

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def complete_hook(instance_id: str) -> None:
    """CompleteLifecycleAction CONTINUE, as the worker does at every SIGTERM where AWS_ASG_NAME is set; errors are only logged."""
    if not (group := os.environ.get("AWS_ASG_NAME")):
        return
    import boto3  # a second of a process that has nothing else to do any more

    hook = os.environ.get("AWS_LIFECYCLE_HOOK_NAME", "gh-worker-termination")
    try:
        client = boto3.client("autoscaling", region_name=os.environ.get("AWS_REGION", "us-east-1"))
        client.complete_lifecycle_action(
            AutoScalingGroupName=group, LifecycleHookName=hook, InstanceId=instance_id, LifecycleActionResult="CONTINUE"
        )
    except Exception as error:  # exactly so in the worker
        print(f"Failed to complete ASG lifecycle action: {error}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schedules.stand_in", description=__doc__)
    parser.add_argument("--ledger", type=Path, required=True, help="the ledger's file; made if it is not there")
    parser.add_argument("--port", type=int, default=int(os.environ.get("GH_WORKER_PORT", "3101")))
    parser.add_argument("--mode", choices=("legacy", "queue"), default=os.environ.get("JOB_DISPATCH_MODE", "legacy"))
    parser.add_argument(
        "--pace", type=float, default=1.0, help="how many times as fast as the real worker its own times pass"
    )
    parser.add_argument(
        "--drains-itself", action="store_true", help="not today's worker: drain and SIGTERM wait for the job's end"
    )
    options = parser.parse_args(arguments)
    if not 0 < options.pace < math.inf:
        parser.error("--pace is a number above 0")
    habits = Habits(options.mode, options.drains_itself).faster(options.pace)
    return StandIn(SharedLedger(options.ledger), habits, options.pace, options.port).run()


if __name__ == "__main__":
    sys.exit(main())
