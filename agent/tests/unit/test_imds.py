"""The client of the metadata service, IMDSv2 only."""

from __future__ import annotations

import time

import pytest
from ghosthands_agent.imds import Imds
from ghosthands_agent.ports import Instance, Unavailable
from unit.fake_http import Reply, Request, fake_server

METADATA = {
    "instance-id": "i-0123456789abcdef0",
    "local-ipv4": "172.28.1.5",
    "placement/region": "us-east-1",
    "public-ipv4": "203.0.113.7",
    "autoscaling/target-lifecycle-state": "InService",
    "iam/security-credentials/": "gh-worker-role",
}


class Service:
    """A metadata service that requires a token. `faults` are the replies to its first requests, tokens included."""

    def __init__(self, *faults: Reply | None, **values: str | None) -> None:
        self.values = {**METADATA, **{name.replace("_", "-"): value for name, value in values.items()}}
        self.faults = list(faults)
        self.tokens = 0

    def __call__(self, request: Request) -> Reply | None:
        if self.faults:
            return self.faults.pop(0)
        if request.method_and_path == "PUT /latest/api/token":
            if request.headers.get("x-aws-ec2-metadata-token-ttl-seconds") != "21600":
                return Reply(400)
            self.tokens += 1
            return Reply(body=f"token-{self.tokens}")
        if request.headers.get("x-aws-ec2-metadata-token") != f"token-{self.tokens}":
            return Reply(401)
        value = self.values.get(request.method_and_path.removeprefix("GET /latest/meta-data/"))
        return Reply(404) if value is None else Reply(body=value)


def test_the_instances_id_and_addresses_are_read() -> None:
    with fake_server(Service()) as server:
        assert Imds(server.url).instance() == Instance("i-0123456789abcdef0", "172.28.1.5", "203.0.113.7")


def test_a_wish_is_the_value_of_a_tag_and_absent_where_there_is_none_or_tags_are_not_shown() -> None:
    service = Service()
    with fake_server(service) as server:
        imds = Imds(server.url)
        assert (imds.wish(), imds.shows_tags()) == (None, False)
        service.values |= {"tags/instance": "Name\nghosthands:want", "tags/instance/ghosthands:want": "hold@00000001"}
        assert (imds.wish(), imds.shows_tags()) == ("hold@00000001", True)


def test_the_region_is_read() -> None:
    with fake_server(Service()) as server:
        assert Imds(server.url).region() == "us-east-1"


def test_an_instance_without_a_public_address_has_none() -> None:
    with fake_server(Service(public_ipv4=None)) as server:
        assert Imds(server.url).instance().public_ip is None


def test_one_token_and_one_connection_serve_many_requests() -> None:
    with fake_server(Service()) as server:
        imds = Imds(server.url)
        assert [imds.target_state() for _ in range(4)] == ["InService"] * 4
        assert server.calls == [
            "PUT /latest/api/token",
            *["GET /latest/meta-data/autoscaling/target-lifecycle-state"] * 4,
        ]
        assert server.connections == 1


def test_a_token_that_has_expired_is_replaced() -> None:
    service = Service()
    with fake_server(service) as server:
        imds = Imds(server.url)
        imds.target_state()
        service.tokens = 7  # the service has forgotten the old one
        assert imds.target_state() == "InService"
        assert server.calls.count("PUT /latest/api/token") == 2


def test_metadata_that_does_not_exist_is_none() -> None:
    with fake_server(
        Service(**{"autoscaling/target-lifecycle-state": None, "iam/security-credentials/": None})
    ) as server:
        imds = Imds(server.url)
        assert imds.target_state() is None
        assert imds.spot_action() is None
        assert imds.role() is None


def test_an_instance_always_has_an_id() -> None:
    with fake_server(Service(instance_id=None)) as server, pytest.raises(Unavailable, match="imds:instance-id: 404"):
        Imds(server.url).instance()


def test_without_a_token_no_metadata_is_requested() -> None:
    """IMDSv1 would answer, but the client never uses it."""

    def first_version_only(request: Request) -> Reply:
        return Reply(403) if request.method_and_path.startswith("PUT") else Reply(body=METADATA["instance-id"])

    with fake_server(first_version_only) as server:
        with pytest.raises(Unavailable, match="no token, 403"):
            Imds(server.url).instance()
        assert {call.split()[0] for call in server.calls} == {"PUT"}


@pytest.mark.parametrize(
    "fault", [Reply(500), Reply(503), None, Reply(200, "")], ids=["500", "503", "hung up", "empty token"]
)
def test_one_bad_response_is_retried(fault: Reply | None) -> None:
    with fake_server(Service(fault)) as server:
        assert Imds(server.url).target_state() == "InService"


def test_two_bad_responses_are_unavailable() -> None:
    with fake_server(Service(Reply(500), Reply(500), Reply(500), Reply(500))) as server, pytest.raises(Unavailable):
        Imds(server.url).target_state()


def test_a_final_error_is_not_retried() -> None:
    service = Service()
    with fake_server(service) as server:
        imds = Imds(server.url)
        imds.target_state()
        service.faults = [Reply(403)]
        with pytest.raises(Unavailable, match="imds:autoscaling/target-lifecycle-state: 403"):
            imds.target_state()
        assert len(server.calls) == 3


def test_a_call_takes_two_seconds_at_most() -> None:
    with fake_server(lambda _: Reply(hang=3.0)) as server:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="time-out"):
            Imds(server.url).target_state()
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("values", "call"),
    [
        ({"instance-id": "i-XYZ"}, "instance-id"),
        ({"instance-id": "<html>canary</html>"}, "instance-id"),
        ({"local-ipv4": "fe80::1"}, "local-ipv4"),
        ({"public-ipv4": "10.0.0"}, "public-ipv4"),
    ],
)
def test_malformed_metadata_is_refused_without_being_quoted(values: dict[str, str], call: str) -> None:
    with fake_server(Service(**values)) as server:
        with pytest.raises(Unavailable) as caught:
            Imds(server.url).instance()
        assert str(caught.value) == f"imds:{call}: wrong shape"


def test_a_target_state_of_another_shape_is_refused() -> None:
    with (
        fake_server(Service(**{"autoscaling/target-lifecycle-state": "<html>"})) as server,
        pytest.raises(Unavailable, match="wrong shape"),
    ):
        Imds(server.url).target_state()


@pytest.mark.parametrize(
    "state", ["InService", "Standby", "Detached", "Terminated", "Warmed:Stopped", "Warmed:Hibernated"]
)
def test_every_target_state_of_aws_is_read(state: str) -> None:
    with fake_server(Service(**{"autoscaling/target-lifecycle-state": state})) as server:
        assert Imds(server.url).target_state() == state


def test_a_spot_notice_is_read_by_its_action() -> None:
    notice = '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
    with fake_server(Service(**{"spot/instance-action": notice})) as server:
        assert Imds(server.url).spot_action() == "terminate"


@pytest.mark.parametrize("notice", ["", "[]", "{}", '{"action": 1}', '{"action": "A"}', "null"])
def test_a_spot_notice_of_another_shape_is_refused(notice: str) -> None:
    with (
        fake_server(Service(**{"spot/instance-action": notice})) as server,
        pytest.raises(Unavailable, match="spot/instance-action: wrong shape"),
    ):
        Imds(server.url).spot_action()


@pytest.mark.parametrize("endpoint", ["", "169.254.169.254", "https://169.254.169.254", "file:///etc/passwd"])
def test_an_endpoint_that_is_not_an_http_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="not http://HOST"):
        Imds(endpoint)


def test_an_endpoint_may_have_a_path() -> None:
    with fake_server(
        {
            "PUT /here/latest/api/token": Reply(body="t"),
            "GET /here/latest/meta-data/instance-id": Reply(body=METADATA["instance-id"]),
        }
    ) as server:
        assert Imds(f"{server.url}/here/").instance_id() == METADATA["instance-id"]


def test_the_instance_id_is_requested_once() -> None:
    with fake_server(Service()) as server:
        imds = Imds(server.url)
        assert {imds.instance_id() for _ in range(3)} == {METADATA["instance-id"]}
        assert len([call for call in server.calls if call.endswith("instance-id")]) == 1
