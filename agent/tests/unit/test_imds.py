"""The metadata service's client: IMDSv2 and nothing else."""

from __future__ import annotations

import time

import pytest
from ghosthands_agent.imds import Imds
from ghosthands_agent.ports import Instance, Unavailable
from unit.listening import Request, Said, listening

THIS = {
    "instance-id": "i-0123456789abcdef0",
    "local-ipv4": "172.28.1.5",
    "public-ipv4": "203.0.113.7",
    "autoscaling/target-lifecycle-state": "InService",
    "iam/security-credentials/": "gh-worker-role",
}


class Service:
    """A metadata service that wants a token; what `faults` says comes first, an answer for each question or token."""

    def __init__(self, *faults: Said | None, **values: str | None) -> None:
        self.values = {**THIS, **{name.replace("_", "-"): value for name, value in values.items()}}
        self.faults = list(faults)
        self.tokens = 0

    def __call__(self, request: Request) -> Said | None:
        if self.faults:
            return self.faults.pop(0)
        if request.what == "PUT /latest/api/token":
            if request.headers.get("x-aws-ec2-metadata-token-ttl-seconds") != "21600":
                return Said(400)
            self.tokens += 1
            return Said(body=f"token-{self.tokens}")
        if request.headers.get("x-aws-ec2-metadata-token") != f"token-{self.tokens}":
            return Said(401)
        value = self.values.get(request.what.removeprefix("GET /latest/meta-data/"))
        return Said(404) if value is None else Said(body=value)


def test_the_instance_is_known_by_id_and_addresses() -> None:
    with listening(Service()) as server:
        assert Imds(server.url).instance() == Instance("i-0123456789abcdef0", "172.28.1.5", "203.0.113.7")


def test_an_instance_without_a_public_address_has_none() -> None:
    with listening(Service(public_ipv4=None)) as server:
        assert Imds(server.url).instance().public_ip is None


def test_one_token_and_one_connection_serve_many_questions() -> None:
    with listening(Service()) as server:
        imds = Imds(server.url)
        assert [imds.target_state() for _ in range(4)] == ["InService"] * 4
        assert server.calls == [
            "PUT /latest/api/token",
            *["GET /latest/meta-data/autoscaling/target-lifecycle-state"] * 4,
        ]
        assert server.connections == 1


def test_a_token_that_has_expired_is_replaced() -> None:
    service = Service()
    with listening(service) as server:
        imds = Imds(server.url)
        imds.target_state()
        service.tokens = 7  # the service has forgotten the old one
        assert imds.target_state() == "InService"
        assert server.calls.count("PUT /latest/api/token") == 2


def test_what_the_service_does_not_have_is_absent() -> None:
    with listening(
        Service(**{"autoscaling/target-lifecycle-state": None, "iam/security-credentials/": None})
    ) as server:
        imds = Imds(server.url)
        assert imds.target_state() is None
        assert imds.spot_action() is None
        assert imds.role() is None


def test_an_instance_always_has_an_id() -> None:
    with listening(Service(instance_id=None)) as server, pytest.raises(Unavailable, match="imds:instance-id: 404"):
        Imds(server.url).instance()


def test_without_a_token_nothing_is_asked() -> None:
    """IMDSv1 would answer; the client never asks it."""

    def first_version_only(request: Request) -> Said:
        return Said(403) if request.what.startswith("PUT") else Said(body=THIS["instance-id"])

    with listening(first_version_only) as server:
        with pytest.raises(Unavailable, match="no token, 403"):
            Imds(server.url).instance()
        assert {call.split()[0] for call in server.calls} == {"PUT"}


@pytest.mark.parametrize(
    "fault", [Said(500), Said(503), None, Said(200, "")], ids=["500", "503", "hung up", "empty token"]
)
def test_one_bad_answer_is_borne(fault: Said | None) -> None:
    with listening(Service(fault)) as server:
        assert Imds(server.url).target_state() == "InService"


def test_two_bad_answers_are_unavailable() -> None:
    with listening(Service(Said(500), Said(500), Said(500), Said(500))) as server, pytest.raises(Unavailable):
        Imds(server.url).target_state()


def test_an_error_that_is_final_is_not_asked_for_twice() -> None:
    service = Service()
    with listening(service) as server:
        imds = Imds(server.url)
        imds.target_state()
        service.faults = [Said(403)]
        with pytest.raises(Unavailable, match="imds:autoscaling/target-lifecycle-state: 403"):
            imds.target_state()
        assert len(server.calls) == 3


def test_a_service_that_hangs_costs_two_seconds_at_most() -> None:
    with listening(lambda _: Said(hang=3.0)) as server:
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
def test_answers_of_another_shape_are_refused_without_being_quoted(values: dict[str, str], call: str) -> None:
    with listening(Service(**values)) as server:
        with pytest.raises(Unavailable) as caught:
            Imds(server.url).instance()
        assert str(caught.value) == f"imds:{call}: wrong shape"


def test_a_target_state_of_another_shape_is_refused() -> None:
    with (
        listening(Service(**{"autoscaling/target-lifecycle-state": "<html>"})) as server,
        pytest.raises(Unavailable, match="wrong shape"),
    ):
        Imds(server.url).target_state()


@pytest.mark.parametrize(
    "state", ["InService", "Standby", "Detached", "Terminated", "Warmed:Stopped", "Warmed:Hibernated"]
)
def test_every_target_state_of_aws_is_read(state: str) -> None:
    with listening(Service(**{"autoscaling/target-lifecycle-state": state})) as server:
        assert Imds(server.url).target_state() == state


def test_a_spot_notice_is_read_by_its_action() -> None:
    notice = '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
    with listening(Service(**{"spot/instance-action": notice})) as server:
        assert Imds(server.url).spot_action() == "terminate"


@pytest.mark.parametrize("notice", ["", "[]", "{}", '{"action": 1}', '{"action": "A"}', "null"])
def test_a_spot_notice_of_another_shape_is_refused(notice: str) -> None:
    with (
        listening(Service(**{"spot/instance-action": notice})) as server,
        pytest.raises(Unavailable, match="spot/instance-action: wrong shape"),
    ):
        Imds(server.url).spot_action()


@pytest.mark.parametrize("endpoint", ["", "169.254.169.254", "https://169.254.169.254", "file:///etc/passwd"])
def test_an_endpoint_that_is_no_http_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="not http://HOST"):
        Imds(endpoint)


def test_an_endpoint_may_have_a_path() -> None:
    with listening(
        {
            "PUT /here/latest/api/token": Said(body="t"),
            "GET /here/latest/meta-data/instance-id": Said(body=THIS["instance-id"]),
        }
    ) as server:
        assert Imds(f"{server.url}/here/").instance_id() == THIS["instance-id"]


def test_the_instance_id_is_asked_for_once() -> None:
    with listening(Service()) as server:
        imds = Imds(server.url)
        assert {imds.instance_id() for _ in range(3)} == {THIS["instance-id"]}
        assert len([call for call in server.calls if call.endswith("instance-id")]) == 1
