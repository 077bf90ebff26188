"""The server of a world: AWS's API, the page, and controls under ``/localcloud/``, on one port."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import (
    BackendRequest,
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from localcloud import NAME, page, seed
from localcloud.authorization.guard import Guard
from localcloud.calls import read_call
from localcloud.faults import Faults
from localcloud.server import failures
from localcloud.server.faults import Fault, throttled
from localcloud.server.trace import Trace
from localcloud.strictness import OBSERVER
from localcloud.throttling import Throttle
from localcloud.world import World

HOST = "127.0.0.1"
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d+/([^/]+)/([^/]+)/aws4_request")
#: Paths that moto's server answers and localcloud does not: moto's controls, which know no world, and its stand-in for
#: an instance's metadata.
MOTOS_OWN = ("/moto-api", "/latest/meta-data", "/latest/api")
#: The services that neither take forms nor answer in JSON.
XML_SERVICES = re.compile(r"/(s3|s3express|route53|cloudfront)/aws4_request")
#: What Flask answers where moto has no route for an operation.
NO_ROUTE = b"The requested URL was not found on the server"

log = logging.getLogger(__name__)
StartResponse = Callable[..., Any]


class Application:
    """The WSGI application of a world.

    Args:
        latency_ms: delay of every API call.
        trace: file to append calls to.
        enforce_iam: whether calls of users and roles need to be allowed by their policies.
        owner: who started it.
    """

    debug = True

    def __init__(
        self, world: World, latency_ms: float = 0, trace: Path | None = None, enforce_iam: bool = False, owner: str = ""
    ) -> None:
        self.world = world
        self.owner = owner
        self.faults = Faults(Fault)
        self.guard = Guard(enforce_iam)
        self.throttle = Throttle(world.strictness.throttling, world.strictness.auto_scaling_limit)
        self.latency_ms = latency_ms
        self.trace = Trace(trace)
        self.started = time.time()
        self.calls = 0
        self._moto = Dispatcher(_service_app)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if page.is_requested(environ):
            return self._page(environ, start_response)
        if environ.get("PATH_INFO", "").startswith("/localcloud/"):
            return self._control(environ, start_response)
        if (path := environ.get("PATH_INFO", "")).startswith(MOTOS_OWN):
            message = (
                f"localcloud has no {path}: its controls are POST /localcloud/reset and others; an instance's metadata"
            )
            return _json(start_response, "404 Not Found", {"error": f"{message} is at that instance's own address"})
        return self._call(environ, start_response)

    def _call(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the client left before it had sent the whole call")
        call = read_call(_request(environ, body)) if self.trace.active or self.faults.rules else None
        environ["wsgi.input"] = io.BytesIO(body)
        answer: list[Any] = []

        def remember(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            answer[:] = [status, headers]
            return start_response(status, headers, exc_info)  # type: ignore[no-any-return]

        fault = self.faults.match(lambda fault: fault.applies_to(call)) if call else None
        if delay := self.latency_ms + (fault.milliseconds if fault else 0):
            time.sleep(delay / 1000)
        if fault and fault.kind in ("throttle", "error"):
            self.calls += 1
            answer_body = _failure(remember, environ, *fault.answer(call.service if call else ""))
        elif fault and fault.kind == "lost":
            self._answered(environ, body, lambda status, headers, exc_info=None: None)
            raise ConnectionAbortedError(
                f"the answer to {call.action if call else 'a call'} is lost, by a fault on demand"
            )
        else:
            answer_body = self._answered(environ, body, remember)
        if call and self.trace.active:
            status = int(str(answer[0]).split()[0])
            error = None if status < 400 else _error_code(answer_body, dict(answer[1]))
            self.trace.write(call, status, error, 1000 * (time.perf_counter() - began))
        return [answer_body]

    def _answered(self, environ: dict[str, Any], body: bytes, remember: StartResponse) -> bytes:
        """The answer of the services, one call at a time."""
        with self.world.entered():
            self.calls += 1
            self.world.tick()
            try:
                if refusal := self._throttled(_request(environ, body)):
                    return _failure(remember, environ, *refusal)
                if refusal := self.guard.check(_request(environ, body)):
                    return _failure(remember, environ, *refusal)
                answer: list[Any] = []
                content = b"".join(self._moto(environ, lambda *head: answer.append(head)))
                if answer[0][0].startswith("404") and NO_ROUTE in content:
                    raise NotImplementedError
                remember(*answer[0])
                return content
            except NotImplementedError:
                what = read_call(_request(environ, body))
                message = f"localcloud does not model {what.action} of {what.service}"
                return _failure(remember, environ, "400 Bad Request", "InvalidAction", message)
            except Exception as error:
                what = read_call(_request(environ, body))
                log.exception("%s %s failed", what.service, what.action)
                if refusal := failures.answer(error, what):
                    return _failure(remember, environ, *refusal)
                message = "localcloud failed to answer this call; its log says why"
                return _failure(remember, environ, "500 Internal Server Error", "InternalFailure", message)

    def _throttled(self, request: BackendRequest) -> tuple[str, str, str] | None:
        """The error of a call for which there is no token."""
        scope = _SCOPE.search(authorization := request.headers.get("Authorization", ""))
        action = request.values.get("Action")  # EC2 and Auto Scaling speak the query protocol
        if scope is None or not action or OBSERVER in request.headers.get("User-Agent", ""):
            return None
        region, service = scope.groups()
        account = get_account_id_from(authorization.partition("Credential=")[2].partition("/")[0])
        admitted = self.throttle.admits(service, action, request.values, account, region, self.world.clock.now())
        return None if admitted else throttled(service)

    def _page(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The read-only page: read under the lock, rendered without it."""
        with self.world.entered():
            data = page.collect(self.world.all_groups(), seed.ACCOUNT, self.world.clock)
        body = page.html(data).encode()
        start_response("200 OK", [*page.HEADERS, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _control(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = BackendRequest(environ)
        verb = request.path.removeprefix("/localcloud/")
        actions: dict[tuple[str, str], Callable[[dict[str, Any]], dict[str, Any]]] = {
            ("GET", "status"): lambda _: self.status(),
            ("GET", "events"): lambda _: {"events": self.world.events_after(int(request.values.get("after", 0)))},
            ("GET", "faults"): lambda _: self.faults.as_dict(),
            ("POST", "faults"): self.faults.set,
            ("POST", "enforce-iam"): self.guard.switch,
            ("GET", "imds"): lambda _: self.world.metadata.control({}),
            ("POST", "imds"): self.world.metadata.control,
            ("POST", "launch-hooks"): self._complete_launches,
            ("POST", "advance"): self._advance,
            ("POST", "speed"): self._set_speed,
            ("POST", "latency"): self._set_latency,
            ("POST", "trace"): self._set_trace,
            ("POST", "snapshot"): self._take_snapshot,
            ("POST", "restore"): self._restore_snapshot,
            ("POST", "reset"): self._reset,
        }
        action = actions.get((str(request.method), verb))
        try:
            if action is None:
                return _json(start_response, "404 Not Found", {"error": f"no control {request.method} {request.path}"})
            values = json.loads(request.get_data() or b"{}")
            with self.world.entered():
                return _json(start_response, "200 OK", action(values))
        except (ValueError, TypeError, KeyError, OSError) as problem:
            return _json(start_response, "400 Bad Request", {"error": f"{type(problem).__name__}: {problem}"})

    def status(self) -> dict[str, Any]:
        """The settings, and the groups with their instances."""
        return {
            "name": NAME,
            "pid": os.getpid(),
            "owner": self.owner,
            "account": seed.ACCOUNT,
            "region": seed.REGION,
            "uptime_seconds": round(time.time() - self.started, 1),
            "calls": self.calls,
            "latency_ms": self.latency_ms,
            "speed": self.world.clock.speed,
            "instances": self.world.machines.host.kind,
            "enforce_iam": self.guard.on,
            "strictness": self.world.strictness.as_dict(),
            "trace": str(self.trace.path) if self.trace.path else None,
            "snapshot": self.world.has_snapshot,
            "groups": {
                record.group.name: {
                    "desired": record.group.settings.desired,
                    "instances": {i.id: i.state for i in record.group.instances.values()},
                }
                for backend in self.world.all_groups()
                for record in backend.records.values()
            },
        }

    def _set_latency(self, values: dict[str, Any]) -> dict[str, Any]:
        milliseconds = float(values["ms"])
        if milliseconds < 0:
            raise ValueError("ms must not be negative")
        self.latency_ms = milliseconds
        return {"latency_ms": self.latency_ms}

    def _set_speed(self, values: dict[str, Any]) -> dict[str, Any]:
        self.world.clock.run_at(float(values["speed"]))
        return {"speed": self.world.clock.speed}

    def _complete_launches(self, values: dict[str, Any]) -> dict[str, Any]:
        self.world.complete_launches(bool(values["complete"]))
        return {"complete": bool(values["complete"])}

    def _advance(self, values: dict[str, Any]) -> dict[str, Any]:
        self.world.advance(float(values["seconds"]))
        return {"lead": self.world.clock.lead}

    def _set_trace(self, values: dict[str, Any]) -> dict[str, Any]:
        self.trace.redirect(Path(values["file"]) if values["file"] else None)
        return {"trace": values["file"]}

    def _take_snapshot(self, _: dict[str, Any]) -> dict[str, Any]:
        self.world.take_snapshot()
        return {"snapshot": True}

    def _restore_snapshot(self, _: dict[str, Any]) -> dict[str, Any]:
        self.world.restore_snapshot()
        self.throttle.clear()
        return {"restored": True}

    def _reset(self, _: dict[str, Any]) -> dict[str, Any]:
        self.world.reset()
        self.throttle.clear()
        return {"reset": True}


def _request(environ: dict[str, Any], body: bytes) -> BackendRequest:
    """A request to read, apart from the one that moto reads."""
    return BackendRequest({**environ, "wsgi.input": io.BytesIO(body)})


def _service_app(service: str) -> Any:
    """moto's application for one service; its exceptions reach our log instead of becoming a page of HTML."""
    app = create_backend_app(service)  # type: ignore[arg-type]
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _failure(start_response: StartResponse, environ: dict[str, Any], status: str, code: str, message: str) -> bytes:
    """An error that is not moto's, in the caller's protocol."""
    sent = environ.get("CONTENT_TYPE", "")
    rest = "form" not in sent and not XML_SERVICES.search(environ.get("HTTP_AUTHORIZATION", ""))
    json_ = "json" in sent or rest
    start_response(status, [("Content-Type", "application/json" if json_ else "text/xml"), ("x-amzn-ErrorType", code)])
    if json_:
        return json.dumps({"__type": code, "message": message}).encode()
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if "/ec2/aws4_request" in environ.get(
        "HTTP_AUTHORIZATION", ""
    ):  # EC2 has a shape of its own, and Go's SDK insists on it
        return f"<Response><Errors>{error}</Errors><RequestID>localcloud</RequestID></Response>".encode()
    return f"<ErrorResponse>{error}</ErrorResponse>".encode()


def _json(start_response: StartResponse, status: str, value: dict[str, Any]) -> Iterable[bytes]:
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _error_code(body: bytes, headers: dict[str, str]) -> str:
    """AWS's error code in an answer of any protocol."""
    text = body.decode("utf-8", "replace")
    found = re.search(r"<Code>([^<]+)</Code>", text) or re.search(r'"__type":\s*"(?:[^"#]*#)?([^"]+)"', text)
    named = headers.get("x-amzn-ErrorType") or headers.get("X-Amzn-ErrorType")
    return found.group(1) if found else named or "Unknown"


class Dispatcher(DomainDispatcherApplication):
    """moto's choice of a service; one that it does not know is not modelled."""

    def get_backend_for_host(self, host: str | None) -> Any:
        """The service behind a host name."""
        found = super().get_backend_for_host(host)
        if found is None and host is not None:
            raise NotImplementedError(host)
        return found


class Handler(MotoRequestHandler):
    """moto's request handler, silent, with record-alive connections."""

    protocol_version = "HTTP/1.1"

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """Close the connection, as for an answer that is to be lost."""
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:
        """No access log; see ``Trace``."""

    def setup(self) -> None:
        """Send small packets at once, without waiting for acknowledgements."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def make(
    port: int,
    latency_ms: float = 0,
    trace: Path | None = None,
    enforce_iam: bool = False,
    world: World | None = None,
    owner: str = "",
) -> BaseWSGIServer:
    """A server bound to loopback, not yet serving; port 0 takes a free one.

    Args:
        world: what it serves; by default a new one, whose instances are simulated and boot at once.

    Raises:
        SystemExit: the port is taken (werkzeug's way to say so).
    """
    application = Application(world or World(), latency_ms, trace, enforce_iam, owner)
    server = make_server(HOST, port, application, threaded=True, request_handler=Handler)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.service_actions = application.world.tick  # type: ignore[method-assign]
    return server
