"""The instance metadata service (IMDS): IMDSv2 as EC2 has it, from a pure ``answer`` to sockets.

``answer`` is a function of the instance (``View``), the request and the time. A ``Service`` answers on any number of
addresses (``Endpoint``). Which instance calls is known by the address: a process has an endpoint of its own on
loopback, a container an address of its own. Pages: EC2 User Guide, "Use IMDS" (UG), "Instance metadata categories"
(IMC).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import re
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from localcloud import faults

log = logging.getLogger(__name__)

#: How long a token may be asked to live, in seconds (UG, "How Instance Metadata Service Version 2 works").
TOKEN_SECONDS = range(1, 21_601)
TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "x-aws-ec2-metadata-token"
#: Dated versions of the service are like the latest (UG, "Get the available versions of the instance metadata").
VERSION = re.compile(r"latest|1\.0|20\d\d-\d\d-\d\d")
VERSIONS = (
    "1.0",
    "2009-04-04",
    "2016-09-02",
    "2018-09-24",
    "2019-10-01",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "latest",
)
#: How long a ``hang`` fault lasts if the client does not close the connection, in seconds.
HANG_SECONDS = 3600.0
#: How long a kept-alive connection may be idle, in seconds.
IDLE_SECONDS = 60.0

Tree = dict[str, Any]


@dataclass(frozen=True)
class Credentials:
    """A role's session. ``issued`` and ``expires`` are seconds since the epoch."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    issued: float
    expires: float


@dataclass(frozen=True)
class Profile:
    """An instance profile: its ARN and id, the name of its role if any, and credentials if EC2 may assume the role."""

    arn: str
    id: str
    role: str | None = None
    credentials: Credentials | None = None


@dataclass(frozen=True)
class Options:
    """The instance's metadata options, named and valued as in EC2's API."""

    tokens_required: bool = True
    enabled: bool = True
    tags: bool = False
    hop_limit: int = 1


@dataclass(frozen=True)
class Notice:
    """EC2's notices to an instance.

    Attributes:
        spot: the action of a spot interruption (``terminate``, ``stop``, ``hibernate``), if there is one.
        spot_at: when it is to happen, in seconds since the epoch.
        rebalance_at: when a rebalance was recommended, in seconds since the epoch.
        maintenance: scheduled events as ``events/maintenance/scheduled`` shows them.
    """

    spot: str | None = None
    spot_at: float = 0.0
    rebalance_at: float | None = None
    maintenance: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class View:
    """An instance as its metadata service shows it, with the values of EC2's API; ``launched`` is since the epoch."""

    instance_id: str
    image: str
    instance_type: str
    address: str
    host_name: str
    zone: str
    region: str
    account: str
    reservation: str
    mac: str
    launched: float
    public_address: str | None = None
    public_host_name: str | None = None
    architecture: str = "x86_64"
    hypervisor: str = "nitro"
    launch_index: int = 0
    spot: bool = False
    security_groups: tuple[str, ...] = ()
    root_device: str = "/dev/xvda"
    interface: Mapping[str, str] = field(default_factory=dict)
    public_keys: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    user_data: bytes | None = None
    profile: Profile | None = None
    target_lifecycle_state: str | None = None
    notice: Notice = Notice()
    options: Options = Options()


@dataclass(frozen=True)
class Request:
    """A request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """An answer; ``hop_limit`` is the IP time to live of its packets, None for the default."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hop_limit: int | None = None


class Tokens:
    """Session tokens: each contains its expiry, and is signed for its instance, so that none have to be stored."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def issue(self, instance_id: str, seconds: int, now: float) -> str:
        """A token for the instance that is good for so many seconds from ``now`` (since the epoch)."""
        end = struct.pack(">d", now + seconds)
        return base64.urlsafe_b64encode(end + self._signature(instance_id, end)).decode()

    def valid(self, token: str, instance_id: str, now: float) -> bool:
        """Whether it is this instance's and has not expired."""
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
        except ValueError:
            return False
        if base64.urlsafe_b64encode(raw).decode() != token:  # Python decodes what is not quite base64 as well
            return False
        end, signature = raw[:8], raw[8:]
        if len(end) < 8 or not hmac.compare_digest(signature, self._signature(instance_id, end)):
            return False
        return bool(now < struct.unpack(">d", end)[0])

    def _signature(self, instance_id: str, end: bytes) -> bytes:
        return hmac.digest(self._key, instance_id.encode() + end, hashlib.sha256)


def answer(view: View, request: Request, tokens: Tokens, now: float) -> Response:
    """The answer of an instance's metadata service; ``now`` is seconds since the epoch.

    Statuses are those of UG, "Instance metadata ... response codes": 400 a bad token request, 401 no or a bad token,
    403 not allowed or disabled, 404 not found. Another method is 405 (derived).
    """
    if not view.options.enabled:
        return _error(403)
    if request.method == "PUT":
        return _token(view, request, tokens, now)
    if request.method not in ("GET", "HEAD"):
        return _error(405)
    token = request.headers.get(TOKEN_HEADER)
    if token is None and view.options.tokens_required:
        return _error(401)
    if token is not None and not tokens.valid(token, view.instance_id, now):
        return _error(401)
    found = _found(view, request.path.partition("?")[0])
    if found is None:
        return _error(404)
    kind = "application/octet-stream" if request.path.rstrip("/").endswith("/user-data") else "text/plain"
    return Response(200, found, {"Content-Type": kind})


def _error(status: int) -> Response:
    name = HTTPStatus(status).phrase
    page = f"<html><head><title>{status} - {name}</title></head><body><h1>{status} - {name}</h1></body></html>"
    return Response(status, page.encode(), {"Content-Type": "text/html"})


def _token(view: View, request: Request, tokens: Tokens, now: float) -> Response:
    """A session token; a request that came through a proxy gets none (UG, "How IMDSv2 works")."""
    if request.path != "/latest/api/token":
        return _error(405)
    if "x-forwarded-for" in request.headers:
        return _error(403)
    ttl = request.headers.get(TTL_HEADER, "")
    if not re.fullmatch(r"[0-9]{1,5}", ttl) or int(ttl) not in TOKEN_SECONDS:
        return _error(400)
    token = tokens.issue(view.instance_id, int(ttl), now)
    return Response(200, token.encode(), {"Content-Type": "text/plain", TTL_HEADER: ttl}, view.options.hop_limit)


def _found(view: View, path: str) -> bytes | None:
    """A leaf's content, or a directory as lines; None if there is nothing.

    Slashes at the end or twice in a row change nothing, at a leaf neither (seen on EC2: github.com/boto/boto/pull/1900,
    github.com/ex-aws/ex_aws/pull/496).
    """
    version, _, rest = path.lstrip("/").partition("/")
    if not version:
        return "\n".join(VERSIONS).encode()
    if not VERSION.fullmatch(version):
        return None
    node: Any = _tree(view)
    if not rest:  # the one directory that EC2 lists without slashes
        return "\n".join(node).encode()
    for name in filter(None, rest.split("/")):
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict):
        return "\n".join(_entry(name, part) for name, part in node.items()).encode()
    if node is None:
        return None
    return node if isinstance(node, bytes) else str(node).encode()


def _entry(name: str, part: Any) -> str:
    """A line of a directory; a key's own directory is listed as ``0=name``."""
    if isinstance(part, Key):
        return f"{name}={part.name}"
    return f"{name}/" if isinstance(part, dict) else name


class Key(dict[str, Any]):
    """The directory of a public key."""

    def __init__(self, name: str, material: str) -> None:
        super().__init__({"openssh-key": material.strip() + "\n"})
        self.name = name


def _tree(view: View) -> Tree:
    """The whole metadata tree; what is None is left out."""
    return _pruned(
        {
            "dynamic": {"instance-identity": {"document": _identity(view)}},
            "meta-data": _meta_data(view),
            "user-data": view.user_data,
        }
    )


def _pruned(tree: Tree) -> Tree:
    for name, part in list(tree.items()):
        if part is None or part == {}:
            del tree[name]
        elif isinstance(part, dict):
            _pruned(part)
            if not part:
                del tree[name]
    return tree


def _meta_data(view: View) -> Tree:
    """The categories of IMC that are modelled."""
    notice = view.notice
    return {
        "ami-id": view.image,
        "ami-launch-index": view.launch_index,
        "ami-manifest-path": "(unknown)",
        "autoscaling": {"target-lifecycle-state": view.target_lifecycle_state},
        "block-device-mapping": {"ami": view.root_device, "root": view.root_device},
        "events": {
            "maintenance": {"history": "[]", "scheduled": json.dumps([dict(event) for event in notice.maintenance])},
            "recommendations": {
                "rebalance": None
                if notice.rebalance_at is None
                else json.dumps({"noticeTime": _stamp(notice.rebalance_at)})
            },
        },
        "hostname": view.host_name,
        "iam": _iam(view, view.profile),
        "instance-action": "none",
        "instance-id": view.instance_id,
        "instance-life-cycle": "spot" if view.spot else "on-demand",
        "instance-type": view.instance_type,
        "local-hostname": view.host_name,
        "local-ipv4": view.address,
        "mac": view.mac,
        "network": {"interfaces": {"macs": {view.mac: _interface(view)}}},
        "placement": {"availability-zone": view.zone, "region": view.region},
        "profile": "default-hvm",
        "public-hostname": view.public_host_name,
        "public-ipv4": view.public_address,
        "public-keys": {str(n): Key(*pair) for n, pair in enumerate(view.public_keys.items())},
        "reservation-id": view.reservation,
        "security-groups": "\n".join(view.security_groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "spot": {
            "instance-action": json.dumps({"action": notice.spot, "time": _stamp(notice.spot_at)})
            if notice.spot
            else None,
            "termination-time": _stamp(notice.spot_at) if notice.spot == "terminate" else None,
        },
        "system": view.hypervisor,
        "tags": {"instance": dict(view.tags)} if view.options.tags else None,
    }


def _interface(view: View) -> Tree:
    return {
        "device-number": "0",
        **view.interface,
        "local-hostname": view.host_name,
        "local-ipv4s": view.address,
        "mac": view.mac,
        "owner-id": view.account,
        "public-ipv4s": view.public_address,
        "security-groups": "\n".join(view.security_groups),
    }


def _iam(view: View, profile: Profile | None) -> Tree:
    if profile is None:
        return {}
    held = profile.credentials
    if profile.role and not held:
        refused = {
            "Code": "AssumeRoleUnauthorizedAccess",
            "Message": f"EC2 cannot assume the role {profile.role}.",
            "LastUpdated": _stamp(view.launched),
        }
        return {
            "info": json.dumps(refused, indent=2),
            "security-credentials": {profile.role: json.dumps(refused, indent=2)},
        }
    session = held and {
        "Code": "Success",
        "LastUpdated": _stamp(held.issued),
        "Type": "AWS-HMAC",
        "AccessKeyId": held.key_id,
        "SecretAccessKey": held.secret,
        "Token": held.token,
        "Expiration": _stamp(held.expires),
    }
    info = {
        "Code": "Success",
        "LastUpdated": _stamp(held.issued if held else view.launched),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    }
    return {
        "info": json.dumps(info, indent=2),
        "security-credentials": {profile.role: json.dumps(session, indent=2)} if profile.role and session else {},
    }


def _identity(view: View) -> str:
    """The instance identity document; its signatures are not modelled."""
    return json.dumps(
        {
            "accountId": view.account,
            "architecture": view.architecture,
            "availabilityZone": view.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": view.image,
            "instanceId": view.instance_id,
            "instanceType": view.instance_type,
            "kernelId": None,
            "pendingTime": _stamp(view.launched),
            "privateIp": view.address,
            "ramdiskId": None,
            "region": view.region,
            "version": "2017-09-30",
        },
        indent=2,
    )


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, kw_only=True)
class Fault(faults.Fault):
    """What goes wrong with some metadata requests.

    Attributes:
        path: a pattern such as ``/latest/meta-data/autoscaling/*`` or ``/latest/api/token``. instance: a pattern of
        instance ids. kind: ``error`` answers with ``status``; ``unauthorized`` says 401, as for an expired token;
        ``latency`` delays by
            ``milliseconds``; ``hang`` never answers; ``refused`` resets the connection.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("error", "unauthorized", "latency", "hang", "refused")

    path: str = "*"
    instance: str = "*"

    def applies_to(self, instance_id: str, path: str) -> bool:
        """Whether it is a fault of this instance and path."""
        return fnmatchcase(instance_id, self.instance) and fnmatchcase(path, self.path)


#: Opens an endpoint: its address, its port (0 takes a free one), and which instance calls from a client's address.
Serve = Callable[[str, int, Callable[[str], "str | None"]], "Endpoint"]


class Service:
    """The metadata of all instances.

    Args:
        lookup: returns the instance as it is now, None if there is none; called from any thread.
    """

    def __init__(self, lookup: Callable[[str], View | None]) -> None:
        self.lookup = lookup
        self.faults = faults.Faults(Fault)
        self.notices: dict[str, Notice] = {}
        self._tokens = Tokens()
        self._lock = threading.Lock()

    def serve(self, address: str, port: int, who: Callable[[str], str | None]) -> Endpoint:
        """Open an endpoint on another address.

        Args:
            port: 0 takes a free one.
            who: returns the instance that calls from an address, None if there is none.

        Raises:
            OSError: nothing can listen there.
        """
        return Endpoint(self, address, port, who)

    def control(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Set faults, or notices of an instance; returns all of them.

        ``{"faults": [...], "seed": n}`` replaces the faults. ``{"instance": id, ...}`` with any of ``"spot":
        "terminate"`` (and ``"in_seconds": 120``), ``"rebalance": true``, ``"maintenance": [...]`` replaces the
        instance's notices.

        Raises:
            KeyError, TypeError, ValueError: it is not valid; nothing is changed.
        """
        if unknown := set(values) - {"faults", "seed", "instance", "spot", "in_seconds", "rebalance", "maintenance"}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if "instance" not in values and set(values) & {"spot", "in_seconds", "rebalance", "maintenance"}:
            raise ValueError("instance is missing")
        notice = _notice(values) if "instance" in values else None
        if notice and self.lookup(values["instance"]) is None:
            raise ValueError(f"no instance {values['instance']}")
        with self._lock:
            if "faults" in values:
                self.faults.set(values)
            if notice:
                self.notices[values["instance"]] = notice
            return {
                **self.faults.as_dict(),
                "notices": {id: asdict(notice) for id, notice in self.notices.items()},
            }

    def clear(self) -> None:
        """Remove every notice and fault."""
        with self._lock:
            self.notices.clear()
            self.faults.clear()

    def find_fault(self, instance_id: str, path: str) -> Fault | None:
        """The fault for this request, if any."""
        with self._lock:
            return self.faults.match(lambda fault: fault.applies_to(instance_id, path))

    def answer(self, instance_id: str, request: Request) -> Response | None:
        """The answer; None where the instance is gone."""
        view = self.lookup(instance_id)
        return None if view is None else answer(view, request, self._tokens, time.time())


def _notice(values: Mapping[str, Any]) -> Notice:
    spot = values.get("spot")
    if spot not in (None, "terminate", "stop", "hibernate"):
        raise ValueError("spot is terminate, stop or hibernate")
    now = time.time()
    return Notice(
        spot=spot,
        spot_at=now + float(values.get("in_seconds", 120)),
        rebalance_at=now if values.get("rebalance") else None,
        maintenance=tuple(dict(event) for event in values.get("maintenance", ())),
    )


class Endpoint:
    """An address on which a service answers, until `close`."""

    def __init__(self, service: Service, address: str, port: int, who: Callable[[str], str | None]) -> None:
        self.service = service
        self.who = who
        self.closed = threading.Event()
        self._socket = socket.create_server((address, port), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"imds {address}:{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; open connections end with their next request."""
        self.closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while not self.closed.is_set():
            try:
                connection, source = self._socket.accept()
            except OSError:  # closed, or out of descriptors: then not at once again
                self.closed.wait(0.05)
                continue
            threading.Thread(target=self._handle, args=(connection, source), name="imds", daemon=True).start()

    def _handle(self, connection: socket.socket, source: tuple[str, int]) -> None:
        with connection, contextlib.suppress(OSError):
            RequestHandler(self, connection, source)


class RequestHandler(BaseHTTPRequestHandler):
    """Answers the requests of a connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "EC2ws", ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def __init__(self, endpoint: Endpoint, connection: socket.socket, source: tuple[str, int]) -> None:
        self.endpoint = endpoint
        super().__init__(connection, source, None)  # type: ignore[arg-type]  # a server is only ever handed on

    def log_message(self, format: str, *arguments: Any) -> None:
        """No access log."""

    def _answer(self) -> None:
        with contextlib.suppress(ValueError):  # what a client sends along is of no interest, but must be out of the way
            self.rfile.read(min(int(self.headers.get("Content-Length") or 0), 65_536))
        instance_id = None if self.endpoint.closed.is_set() else self.endpoint.who(self.client_address[0])
        if instance_id is None:
            self.close_connection = True
            return
        fault = self.endpoint.service.find_fault(instance_id, self.path)
        if fault is not None and not self._apply_fault(fault):
            return
        request = Request(str(self.command), self.path, {name.lower(): value for name, value in self.headers.items()})
        if (response := self.endpoint.service.answer(instance_id, request)) is None:
            self.close_connection = True
        else:
            self._send(response)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = _answer

    def _apply_fault(self, fault: Fault) -> bool:
        """Apply the fault; returns whether the request is still to be answered."""
        match fault.kind:
            case "latency":
                self.endpoint.closed.wait(fault.milliseconds / 1000)
                return True
            case "error" | "unauthorized":
                self.endpoint.closed.wait(fault.milliseconds / 1000)
                self._send(_error(fault.status if fault.kind == "error" else 401))
                return False
            case "hang":
                select.select([self.connection], [], [], HANG_SECONDS)  # readable once the client leaves
        if fault.kind == "refused":  # an end by reset, as from a port where nobody listens
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        return False

    def _send(self, response: Response) -> None:
        if response.hop_limit is not None:
            # For the rest of the connection: a repeated packet must not travel further than the first.
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, response.hop_limit)
        self.send_response(response.status)
        for name, value in {**response.headers, "Content-Length": str(len(response.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
