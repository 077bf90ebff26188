"""The instance metadata service, version 2 only: a token first, then requests.

404 means that there is no such value.
"""

from __future__ import annotations

import ipaddress
import json
import re
from urllib.parse import urlsplit

from .plain_http import NoResponse, PlainHttp, Response
from .ports import Instance, Unavailable
from .settings import REGION
from .wishes import WISH_TAG

ENDPOINT = "http://169.254.169.254"
TOKEN_SECONDS = 21600  # the maximum (EC2 User Guide, "Use the Instance Metadata Service")
#: An answer takes 1 to 2 ms. A value may need a token and a retry: four exchanges, 2 s at most.
EXCHANGE_SECONDS = 0.5
TARGET_STATE = re.compile(r"[A-Z][A-Za-z]*(:[A-Za-z]+)?")


class Imds:
    """The metadata service over one kept connection (ports.Metadata).

    Args:
        endpoint: `http://169.254.169.254`, or AWS_EC2_METADATA_SERVICE_ENDPOINT.

    Raises:
        ValueError: the endpoint is not an `http://HOST[:PORT]` URL.
    """

    def __init__(self, endpoint: str = ENDPOINT) -> None:
        url = urlsplit(endpoint)
        if url.scheme != "http" or not url.hostname:
            raise ValueError(f"the metadata service's endpoint is not http://HOST[:PORT]: {endpoint}")
        self._base = url.path.rstrip("/")
        self._http = PlainHttp(url.hostname, url.port or 80, EXCHANGE_SECONDS)
        self._token: str | None = None
        self._id: str | None = None

    def instance_id(self) -> str:
        """The instance id, read once. Raises Unavailable."""
        self._id = self._id or _validated(
            "instance-id", self._required("instance-id"), re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})")
        )
        return self._id

    def instance(self) -> Instance:
        """See ports.Metadata."""
        public = self._read("public-ipv4")
        return Instance(
            id=self.instance_id(),
            local_ip=_address("local-ipv4", self._required("local-ipv4")),
            public_ip=None if public is None else _address("public-ipv4", public),
        )

    def region(self) -> str:
        """The instance's region. Raises Unavailable."""
        return _validated("placement/region", self._required("placement/region"), re.compile(REGION))

    def target_state(self) -> str | None:
        """See ports.Metadata."""
        state = self._read("autoscaling/target-lifecycle-state")
        return None if state is None else _validated("target-lifecycle-state", state, TARGET_STATE)

    def spot_action(self) -> str | None:
        """See ports.Metadata."""
        notice = self._read("spot/instance-action")
        if notice is None:
            return None
        try:
            action = json.loads(notice)["action"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _wrong_shape("spot/instance-action") from None
        return _validated("spot/instance-action", action, re.compile(r"[a-z]+"))

    def wish(self) -> str | None:
        """See ports.Metadata."""
        return self._read(f"tags/instance/{WISH_TAG}")

    def shows_tags(self) -> bool:
        """Whether the instance's tags are in its metadata (InstanceMetadataTags), if it has any."""
        return self._read("tags/instance") is not None

    def role(self) -> str | None:
        """Name of the role whose credentials the instance gets; None without an instance profile."""
        roles = self._read("iam/security-credentials/")
        return (
            None
            if roles is None
            else _validated("iam/security-credentials", roles.partition("\n")[0], re.compile(r"[\w+=,.@-]+"))
        )

    def _required(self, path: str) -> str:
        if (value := self._read(path)) is None:
            raise Unavailable(f"imds:{path}", "404")
        return value

    def _read(self, path: str) -> str | None:
        """The text under /latest/meta-data/; None: 404. Retried once after an expired token, a 5xx, or no answer."""
        problem = ""
        for _attempt in (1, 2):
            try:
                self._token = self._token or self._new_token()
                answer = self._request("GET", f"meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})
            except NoResponse as error:
                problem = str(error)
                continue
            if answer.status == 200:
                return answer.body
            if answer.status == 404:
                return None
            problem = str(answer.status)
            if answer.status == 401:
                self._token = None
            elif answer.status < 500:
                break
        raise Unavailable(f"imds:{path}", problem)

    def _new_token(self) -> str:
        answer = self._request("PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)})
        if answer.status != 200 or not re.fullmatch(r"[!-~]{1,512}", answer.body):
            raise NoResponse(f"no token, {answer.status}")
        return answer.body

    def _request(self, method: str, path: str, headers: dict[str, str]) -> Response:
        return self._http.request(method, f"{self._base}/latest/{path}", headers)


def _validated(name: str, value: object, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise _wrong_shape(name)
    return value


def _address(name: str, value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise _wrong_shape(name) from None


def _wrong_shape(name: str) -> Unavailable:
    return Unavailable(f"imds:{name}", "wrong shape")
