"""The worker's own HTTP server, on this host (its source: WeKruit/GHOST-HANDS, GET /worker/status and POST /worker/drain)."""

from __future__ import annotations

import json
from typing import Any

from .paths import API_PORT, WORKER_PORT
from .plain_http import Answer, NoAnswer, PlainHttp
from .ports import Unavailable, WorkerStatus

#: A worker whose event loop a browser keeps busy may take a second to answer; ports.Worker allows two.
ANSWER_SECONDS = 2.0
FIELDS = {
    "worker_id": str,
    "ec2_instance_id": str,
    "active_jobs": int,
    "is_running": bool,
    "is_draining": bool,
    "dispatch_mode": str,
}


class HttpWorker:
    """What listens on 127.0.0.1 at the worker's port."""

    def __init__(self, port: int = WORKER_PORT) -> None:
        self._http = PlainHttp("127.0.0.1", port, ANSWER_SECONDS)

    def status(self) -> WorkerStatus:
        """See ports.Worker."""
        return _status(self._ask("GET", "/worker/status").body)

    def drain(self) -> None:
        """See ports.Worker."""
        self._ask("POST", "/worker/drain")

    def _ask(self, method: str, path: str) -> Answer:
        return ask(self._http, method, path, f"worker:{path}")


def api_health(port: int = API_PORT) -> None:
    """GET /health of the api service: nothing where it answers 2xx.

    Raises:
        Unavailable: it does not, or not within 2 s.
    """
    ask(PlainHttp("127.0.0.1", port, ANSWER_SECONDS), "GET", "/health", "api:/health")


def ask(http: PlainHttp, method: str, path: str, call: str) -> Answer:
    """An exchange that counts only when it is answered with 2xx. Raises Unavailable."""
    try:
        answer = http.ask(method, path)
    except NoAnswer as nothing:
        raise Unavailable(call, str(nothing)) from None
    if not 200 <= answer.status < 300:
        raise Unavailable(call, str(answer.status))
    return answer


def _status(body: str) -> WorkerStatus:
    call = "worker:/worker/status"
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable(call, "no JSON") from None
    if not isinstance(said, dict):
        raise Unavailable(call, "wrong shape")
    for name, kind in FIELDS.items():
        value = said.get(name)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):  # to Python True is an int
            raise Unavailable(call, f"wrong shape: {name}")
    if said["active_jobs"] < 0 or said["dispatch_mode"] not in ("queue", "legacy"):
        raise Unavailable(call, "wrong shape: active_jobs or dispatch_mode")
    return WorkerStatus(
        worker_id=said["worker_id"],
        instance_id=said["ec2_instance_id"],
        active_jobs=said["active_jobs"],
        is_running=said["is_running"],
        is_draining=said["is_draining"],
        dispatch_mode=said["dispatch_mode"],
    )
