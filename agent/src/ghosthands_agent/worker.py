"""The worker's HTTP server on this host (WeKruit/GHOST-HANDS: GET /worker/status and POST /worker/drain)."""

from __future__ import annotations

import json
from typing import Any

from .paths import API_PORT, WORKER_PORT
from .plain_http import NoResponse, PlainHttp, Response
from .ports import Guard, Unavailable, WorkerStatus

#: A worker whose event loop is busy with a browser may take a second to answer; ports.Worker allows two.
ANSWER_SECONDS = 2.0
FIELDS = {
    "worker_id": str,
    "ec2_instance_id": str,
    "active_jobs": int,
    "is_running": bool,
    "is_draining": bool,
    "dispatch_mode": str,
}
GUARD_VERSION = 1  # of `drain_guard`, as drain_guard.ts writes it


class HttpWorker:
    """ports.Worker at 127.0.0.1."""

    def __init__(self, port: int = WORKER_PORT) -> None:
        self._http = PlainHttp("127.0.0.1", port, ANSWER_SECONDS)

    def status(self) -> WorkerStatus:
        """See ports.Worker."""
        return _status(self._request("GET", "/worker/status").body)

    def drain(self) -> None:
        """See ports.Worker."""
        self._request("POST", "/worker/drain")

    def _request(self, method: str, path: str) -> Response:
        return request(self._http, method, path, f"worker:{path}")


def api_health(port: int = API_PORT) -> None:
    """Check that GET /health of the api service answers 2xx.

    Raises:
        Unavailable: it does not, or not within 2 s.
    """
    request(PlainHttp("127.0.0.1", port, ANSWER_SECONDS), "GET", "/health", "api:/health")


def request(http: PlainHttp, method: str, path: str, call: str) -> Response:
    """An exchange with a 2xx response. Raises Unavailable otherwise."""
    try:
        answer = http.request(method, path)
    except NoResponse as error:
        raise Unavailable(call, str(error)) from None
    if not 200 <= answer.status < 300:
        raise Unavailable(call, str(answer.status))
    return answer


def _status(body: str) -> WorkerStatus:
    call = "worker:/worker/status"
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable(call, "no JSON") from None
    if not isinstance(data, dict):
        raise Unavailable(call, "wrong shape")
    for name, kind in FIELDS.items():
        value = data.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):  # to Python True is an int
            raise Unavailable(call, f"wrong shape: {name}")
    if data["active_jobs"] < 0 or data["dispatch_mode"] not in ("queue", "legacy"):
        raise Unavailable(call, "wrong shape: active_jobs or dispatch_mode")
    return WorkerStatus(
        worker_id=data["worker_id"],
        instance_id=data["ec2_instance_id"],
        active_jobs=data["active_jobs"],
        is_running=data["is_running"],
        is_draining=data["is_draining"],
        dispatch_mode=data["dispatch_mode"],
        guard=_guard(data["drain_guard"]) if "drain_guard" in data else None,
        uptime=_seconds(data.get("uptime_ms")),
    )


def _seconds(milliseconds: Any) -> float | None:
    is_number = isinstance(milliseconds, (int, float)) and not isinstance(milliseconds, bool)
    return milliseconds / 1000 if is_number else None


def _guard(data: Any) -> Guard:
    """The guard's report. One that cannot be read counts as not attached, and never hides the worker's status."""
    if not isinstance(data, dict) or data.get("version") != GUARD_VERSION:
        return _unreadable("version")
    problems = data.get("problems")
    if not isinstance(data.get("attached"), bool):
        return _unreadable("attached")
    if not isinstance(problems, list) or not all(isinstance(problem, str) for problem in problems):
        return _unreadable("problems")
    for name in ("job", "job_status"):
        if not isinstance(data.get(name), str | None):
            return _unreadable(name)
    return Guard(data["attached"], tuple(problems), data.get("job"), data.get("job_status"))


def _unreadable(what: str) -> Guard:
    return Guard(False, (f"drain_guard in the worker's status has an unexpected form ({what}).",))
