"""The metadata service: its answers as values, and over sockets with common clients."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.utils import InstanceMetadataFetcher
from hypothesis import given
from hypothesis import strategies as st
from localcloud.imds import Notice, Options, Profile, Request, Response, Tokens, View

from localcloud import imds

NOW = 1_800_000_000.0
TOKENS = Tokens(b"a key of the tests' own")
ROLE = "gh-worker-role"
SESSION = imds.Credentials("ASIA0000000000000000", "hidden", "session", NOW, NOW + 3600)
VIEW = View(
    instance_id="i-0123456789abcdef0",
    image="ami-010ca1c10d000a001",
    instance_type="t3.medium",
    address="172.28.1.5",
    host_name="ip-172-28-1-5.ec2.internal",
    zone="us-east-1a",
    region="us-east-1",
    account="123456789012",
    reservation="r-0123456789abcdef0",
    mac="02:28:01:05:00:01",
    launched=NOW - 60,
    security_groups=("gh-worker-sg", "default"),
    interface={"subnet-id": "subnet-1"},
    public_keys={"valet-worker": "ssh-ed25519 AAAA valet-worker"},
    tags={"Name": "gh-worker", "Project": "wekruit"},
    user_data=b"\x1f\x8b not text",
    profile=Profile("arn:aws:iam::123456789012:instance-profile/gh", "AIPA1", ROLE, SESSION),
    target_lifecycle_state="InService",
)


def token(view: View = VIEW, seconds: int = 60) -> dict[str, str]:
    """A header with a valid token."""
    return {imds.TOKEN_HEADER: TOKENS.issue(view.instance_id, seconds, NOW)}


def get(path: str, view: View = VIEW) -> Response:
    """The response to a GET with a valid token."""
    return imds.answer(view, Request("GET", path, token(view)), TOKENS, NOW)


def put(headers: dict[str, str], view: View = VIEW) -> Response:
    """The response to a request for a token."""
    return imds.answer(view, Request("PUT", "/latest/api/token", headers), TOKENS, NOW)


# --- tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", ["1", "300", "21600"])
def test_a_token_gives_access(seconds: str) -> None:
    issued = put({imds.TTL_HEADER: seconds})
    assert (issued.status, issued.headers[imds.TTL_HEADER], issued.hop_limit) == (200, seconds, 1)
    headers = {imds.TOKEN_HEADER: issued.body.decode()}
    read = imds.answer(VIEW, Request("GET", "/latest/meta-data/instance-id", headers), TOKENS, NOW)
    assert (read.status, read.body, read.hop_limit) == (200, b"i-0123456789abcdef0", None)


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "1.5", "many", " 60", "٦٠", "999999999999"])
def test_a_token_for_an_invalid_time_is_refused(seconds: str) -> None:
    assert put({imds.TTL_HEADER: seconds}).status == 400


def test_a_token_without_a_ttl_is_refused() -> None:
    assert put({}).status == 400


def test_a_request_through_a_proxy_gets_no_token() -> None:
    assert put({imds.TTL_HEADER: "60", "x-forwarded-for": "10.0.0.1"}).status == 403


@given(st.text(max_size=80))
def test_only_an_issued_token_is_valid(text: str) -> None:
    assert not TOKENS.valid(text, VIEW.instance_id, NOW)


@given(st.integers(1, 21_600), st.floats(0, 40_000))
def test_a_token_is_valid_until_it_expires_and_only_for_its_instance(seconds: int, later: float) -> None:
    issued = TOKENS.issue(VIEW.instance_id, seconds, NOW)
    assert TOKENS.valid(issued, VIEW.instance_id, NOW + later) == (NOW + later < NOW + seconds)
    assert not TOKENS.valid(issued, "i-another", NOW)
    assert not Tokens().valid(issued, VIEW.instance_id, NOW)


@given(st.integers(0, 51), st.characters(codec="ascii"))
def test_a_token_with_one_character_changed_is_invalid(place: int, other: str) -> None:
    issued = TOKENS.issue(VIEW.instance_id, 60, NOW)
    forged = issued[:place] + other + issued[place + 1 :]
    assert TOKENS.valid(forged, VIEW.instance_id, NOW) == (forged == issued)


@pytest.mark.parametrize(("old", "new"), [("_", "/"), ("-", "+"), ("=", "==="), ("=", "=\n"), ("A", "A*")])
def test_a_token_in_another_spelling_of_base64_is_invalid(old: str, new: str) -> None:
    issued = next(t for n in range(1, 21_600) if old in (t := TOKENS.issue(VIEW.instance_id, n, NOW)))
    assert TOKENS.valid(issued, VIEW.instance_id, NOW)
    assert not TOKENS.valid(issued.replace(old, new, 1), VIEW.instance_id, NOW)


@pytest.mark.parametrize("headers", [{}, {imds.TOKEN_HEADER: "made-up"}])
@pytest.mark.parametrize("path", ["/", "/latest/meta-data/instance-id", "/latest/nothing/here"])
def test_without_a_valid_token_everything_is_unauthorized(path: str, headers: dict[str, str]) -> None:
    assert imds.answer(VIEW, Request("GET", path, headers), TOKENS, NOW).status == 401


def test_where_tokens_are_optional_the_first_version_answers_but_a_bad_token_is_still_refused() -> None:
    view = replace(VIEW, options=Options(tokens_required=False))
    assert imds.answer(view, Request("GET", "/latest/meta-data/instance-id"), TOKENS, NOW).status == 200
    bad = Request("GET", "/latest/meta-data/instance-id", {imds.TOKEN_HEADER: "made-up"})
    assert imds.answer(view, bad, TOKENS, NOW).status == 401


def test_a_service_that_is_switched_off_forbids_everything() -> None:
    view = replace(VIEW, options=Options(enabled=False))
    assert put({imds.TTL_HEADER: "60"}, view).status == 403
    assert get("/latest/meta-data/", view).status == 403


def test_the_answer_to_a_token_request_has_the_hop_limit_of_the_options() -> None:
    assert put({imds.TTL_HEADER: "60"}, replace(VIEW, options=Options(hop_limit=2))).hop_limit == 2


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/latest/api/token"), ("PUT", "/latest/meta-data/"), ("DELETE", "/")]
)
def test_other_methods_are_not_allowed(method: str, path: str) -> None:
    assert imds.answer(VIEW, Request(method, path, token()), TOKENS, NOW).status == 405


# --- paths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ami-id", "ami-010ca1c10d000a001"),
        ("instance-id", "i-0123456789abcdef0"),
        ("instance-type", "t3.medium"),
        ("hostname", "ip-172-28-1-5.ec2.internal"),
        ("local-hostname", "ip-172-28-1-5.ec2.internal"),
        ("local-ipv4", "172.28.1.5"),
        ("mac", "02:28:01:05:00:01"),
        ("placement/availability-zone", "us-east-1a"),
        ("placement/region", "us-east-1"),
        ("reservation-id", "r-0123456789abcdef0"),
        ("security-groups", "gh-worker-sg\ndefault"),
        ("autoscaling/target-lifecycle-state", "InService"),
        ("iam/security-credentials/", ROLE),
        ("events/maintenance/scheduled", "[]"),
        ("public-keys/", "0=valet-worker"),
        ("public-keys/0/openssh-key", "ssh-ed25519 AAAA valet-worker\n"),
        ("network/interfaces/macs/", "02:28:01:05:00:01/"),
        ("network/interfaces/macs/02:28:01:05:00:01/subnet-id", "subnet-1"),
        ("placement/", "availability-zone\nregion"),
        ("placement", "availability-zone\nregion"),
        ("iam/", "info\nsecurity-credentials/"),
    ],
)
def test_metadata_has_ec2s_paths_and_values(path: str, text: str) -> None:
    found = get(f"/latest/meta-data/{path}")
    assert (found.status, found.body.decode(), found.headers["Content-Type"]) == (200, text, "text/plain")


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/public-ipv4",
        "/latest/meta-data/spot/instance-action",
        "/latest/meta-data/spot/",
        "/latest/meta-data/events/recommendations/rebalance",
        "/latest/meta-data/tags/instance/",
        "/latest/meta-data/tags/instance/Name",
        "/latest/meta-data/nothing",
        "/latest/meta-data/instance-id/more",
        "/latest/meta-data/more/",
        "/yesterday/meta-data/",
    ],
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    assert get(path).status == 404


@pytest.mark.parametrize("path", ["instance-id/", "/instance-id", "placement//region", "user-data"])
def test_a_slash_too_many_changes_nothing(path: str) -> None:
    """Seen on EC2: github.com/boto/boto/pull/1900 (a table of URLs), github.com/ex-aws/ex_aws/pull/496."""
    root = "/latest/" if path == "user-data" else "/latest/meta-data/"
    exact = root + path.strip("/").replace("//", "/")
    assert get(root + path).body == get(exact).body == get(f"{exact}/").body
    assert get(exact).status == 200


def test_directories_are_listed_as_ec2_lists_them() -> None:
    assert get("/").body.decode().splitlines()[-1] == "latest"
    assert get("/latest/").body == get("/latest").body == b"dynamic\nmeta-data\nuser-data"
    entries = get("/latest/meta-data/").body.decode().splitlines()
    assert entries == sorted(entries)
    assert {"ami-id", "autoscaling/", "events/", "iam/", "network/", "placement/", "public-keys/", "services/"} <= set(
        entries
    )
    assert not {"public-ipv4", "spot/", "tags/"} & set(entries)


def test_every_entry_of_every_directory_can_be_read() -> None:
    view = replace(VIEW, options=Options(tags=True), notice=Notice("terminate", NOW, NOW), public_address="54.0.0.1")
    paths, read = ["/latest/meta-data/", "/latest/dynamic/"], 0
    while paths:
        found = get(path := paths.pop(), view)
        assert found.status == 200, path
        read += 1
        if path.endswith("/"):
            lines = found.body.decode().splitlines()
            paths += [
                path + (f"{line.partition('=')[0]}/" if path.endswith("public-keys/") else line) for line in lines
            ]
    assert read > 50


@pytest.mark.parametrize("version", ["latest", "1.0", "2009-04-04", "2021-07-15"])
def test_a_dated_version_is_the_same_as_the_latest(version: str) -> None:
    assert get(f"/{version}/meta-data/instance-id").body == b"i-0123456789abcdef0"


def test_user_data_is_returned_unchanged_and_404_without_any() -> None:
    found = get("/latest/user-data")
    assert (found.body, found.headers["Content-Type"]) == (b"\x1f\x8b not text", "application/octet-stream")
    assert get("/latest/user-data", replace(VIEW, user_data=None)).status == 404


def test_tags_are_shown_where_the_instance_allows_it() -> None:
    view = replace(VIEW, options=Options(tags=True))
    assert get("/latest/meta-data/tags/instance/", view).body == b"Name\nProject"
    assert get("/latest/meta-data/tags/instance/Project", view).body == b"wekruit"


def test_outside_a_group_there_is_no_target_state() -> None:
    assert (
        get("/latest/meta-data/autoscaling/target-lifecycle-state", replace(VIEW, target_lifecycle_state=None)).status
        == 404
    )


def test_a_role_has_credentials_and_a_profile_its_arn() -> None:
    credentials = json.loads(get(f"/latest/meta-data/iam/security-credentials/{ROLE}").body)
    assert (credentials["Code"], credentials["Type"], credentials["AccessKeyId"]) == (
        "Success",
        "AWS-HMAC",
        "ASIA0000000000000000",
    )
    assert (credentials["SecretAccessKey"], credentials["Token"], credentials["Expiration"]) == (
        "hidden",
        "session",
        "2027-01-15T09:00:00Z",
    )
    assert json.loads(get("/latest/meta-data/iam/info").body)["InstanceProfileArn"].endswith("instance-profile/gh")
    assert get("/latest/meta-data/iam/security-credentials/another").status == 404
    for profile in (None, Profile("arn", "id")):
        view = replace(VIEW, profile=profile)
        assert get("/latest/meta-data/iam/security-credentials/", view).status == 404


def test_a_role_that_ec2_may_not_take_has_an_error_instead_of_credentials() -> None:
    view = replace(VIEW, profile=Profile("arn", "id", ROLE))
    assert json.loads(get("/latest/meta-data/iam/info", view).body)["Code"] == "AssumeRoleUnauthorizedAccess"
    assert (
        json.loads(get(f"/latest/meta-data/iam/security-credentials/{ROLE}", view).body)["Code"]
        == "AssumeRoleUnauthorizedAccess"
    )


def test_secrets_are_in_no_representation_of_a_view() -> None:
    assert "hidden" not in repr(VIEW)
    assert "session" not in repr(SESSION)


def test_notices_are_shown_once_they_are_given() -> None:
    view = replace(VIEW, notice=Notice("terminate", NOW + 120, NOW, ({"Code": "instance-reboot"},)))
    assert json.loads(get("/latest/meta-data/spot/instance-action", view).body) == {
        "action": "terminate",
        "time": "2027-01-15T08:02:00Z",
    }
    assert get("/latest/meta-data/spot/termination-time", view).body == b"2027-01-15T08:02:00Z"
    rebalance = get("/latest/meta-data/events/recommendations/rebalance", view)
    assert json.loads(rebalance.body) == {"noticeTime": "2027-01-15T08:00:00Z"}
    assert json.loads(get("/latest/meta-data/events/maintenance/scheduled", view).body) == [{"Code": "instance-reboot"}]
    assert get("/latest/meta-data/spot/termination-time", replace(VIEW, notice=Notice("stop", NOW))).status == 404


def test_the_identity_document_names_the_instance() -> None:
    document = json.loads(get("/latest/dynamic/instance-identity/document").body)
    assert (document["instanceId"], document["accountId"], document["region"], document["privateIp"]) == (
        VIEW.instance_id,
        "123456789012",
        "us-east-1",
        "172.28.1.5",
    )


# --- over sockets -------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> imds.Service:
    """A service for one instance."""
    return imds.Service(lambda id: VIEW if id == VIEW.instance_id else None)


@pytest.fixture
def endpoint(service: imds.Service) -> Iterator[imds.Endpoint]:
    """That instance's endpoint."""
    opened = service.serve("127.28.1.5", 0, lambda _: VIEW.instance_id)
    yield opened
    opened.close()


def request(
    endpoint: imds.Endpoint, method: str, path: str, headers: dict[str, str] | None = None, timeout: float = 5
) -> tuple[int, bytes]:
    """Send one request on a new connection."""
    connection = http.client.HTTPConnection("127.28.1.5", endpoint.port, timeout=timeout)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def with_token(endpoint: imds.Endpoint) -> dict[str, str]:
    """A header with a token from this endpoint."""
    return {imds.TOKEN_HEADER: request(endpoint, "PUT", "/latest/api/token", {imds.TTL_HEADER: "60"})[1].decode()}


def test_a_client_on_one_connection_gets_a_token_and_reads(endpoint: imds.Endpoint) -> None:
    connection = http.client.HTTPConnection("127.28.1.5", endpoint.port, timeout=5)
    connection.request("PUT", "/latest/api/token", headers={imds.TTL_HEADER: "60"})
    issued = connection.getresponse().read().decode()
    first = connection.sock
    for path, status in (("instance-id", 200), ("nothing", 404), ("mac", 200)):
        connection.request("GET", f"/latest/meta-data/{path}", headers={imds.TOKEN_HEADER: issued})
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > 0) == (status, True)
    connection.request("HEAD", "/latest/meta-data/mac", headers={imds.TOKEN_HEADER: issued})
    assert connection.getresponse().read() == b""
    assert connection.sock is first
    connection.close()


def test_botocores_own_fetcher_reads_the_roles_credentials(endpoint: imds.Endpoint) -> None:
    fetcher: Any = InstanceMetadataFetcher(timeout=2, num_attempts=1, base_url=f"http://127.28.1.5:{endpoint.port}/")
    credentials = fetcher.retrieve_iam_role_credentials()
    assert (credentials["role_name"], credentials["access_key"], credentials["token"]) == (
        ROLE,
        "ASIA0000000000000000",
        "session",
    )


def test_two_instances_on_one_service_see_only_themselves() -> None:
    views = {id: replace(VIEW, instance_id=id) for id in ("i-1", "i-2")}
    service = imds.Service(views.get)
    endpoints = [service.serve("127.28.1.5", 0, lambda _, id=id: id) for id in views]  # type: ignore[misc]
    try:
        headers = with_token(endpoints[0])
        assert request(endpoints[0], "GET", "/latest/meta-data/instance-id", headers) == (200, b"i-1")
        assert request(endpoints[1], "GET", "/latest/meta-data/instance-id", headers)[0] == 401
    finally:
        for endpoint in endpoints:
            endpoint.close()


def test_an_unknown_caller_gets_no_answer(service: imds.Service) -> None:
    for who in ("i-gone", None):
        endpoint = service.serve("127.28.1.5", 0, lambda _, who=who: who)  # type: ignore[misc]
        with pytest.raises(http.client.RemoteDisconnected):
            request(endpoint, "GET", "/")
        endpoint.close()


def test_instances_can_be_known_by_their_source_address(service: imds.Service) -> None:
    endpoint = service.serve("127.28.1.5", 0, {"127.0.0.7": VIEW.instance_id}.get)
    connection = http.client.HTTPConnection("127.28.1.5", endpoint.port, timeout=5, source_address=("127.0.0.7", 0))
    connection.request("PUT", "/latest/api/token", headers={imds.TTL_HEADER: "60"})
    assert connection.getresponse().status == 200
    connection.close()
    endpoint.close()


def test_the_packets_of_a_tokens_answer_have_the_hop_limit(
    monkeypatch: pytest.MonkeyPatch, endpoint: imds.Endpoint
) -> None:
    limits: list[int] = []

    class Recording(imds.RequestHandler):
        def _send(self, response: Response) -> None:
            super()._send(response)
            limits.append(self.connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL))

    monkeypatch.setattr(imds, "RequestHandler", Recording)
    headers = with_token(endpoint)
    request(endpoint, "GET", "/latest/meta-data/mac", headers)
    for _ in range(100):
        if len(limits) == 2:
            break
        time.sleep(0.01)
    assert limits[0] == 1
    assert limits[1] > 32


def test_a_closed_endpoint_refuses_connections(service: imds.Service) -> None:
    endpoint = service.serve("127.28.1.5", 0, lambda _: VIEW.instance_id)
    kept = http.client.HTTPConnection("127.28.1.5", endpoint.port, timeout=5)
    kept.request("GET", "/")
    assert kept.getresponse().read()
    endpoint.close()
    kept.request("GET", "/")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        kept.getresponse()
    kept.close()
    with pytest.raises(ConnectionRefusedError):
        request(endpoint, "GET", "/")


def test_fifty_clients_are_answered_while_one_is_silent(endpoint: imds.Endpoint) -> None:
    with socket.create_connection(("127.28.1.5", endpoint.port)) as silent:
        silent.sendall(b"GET / HT")
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(request(endpoint, "GET", "/")[0])) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [401] * 50


def test_invalid_http_is_refused_and_the_service_goes_on(
    endpoint: imds.Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    for noise in (
        b"\x16\x03\x01\x02\x00\n\n",
        b"GET\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection(("127.28.1.5", endpoint.port), timeout=5) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert with_token(endpoint)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- faults and notices ---------------------------------------------------------------------


def test_an_error_affects_its_paths_as_often_as_asked(service: imds.Service, endpoint: imds.Endpoint) -> None:
    headers = with_token(endpoint)
    service.control({"faults": [{"path": "*/autoscaling/*", "status": 500, "times": 2}]})
    target = "/latest/meta-data/autoscaling/target-lifecycle-state"
    assert [request(endpoint, "GET", target, headers)[0] for _ in range(3)] == [500, 500, 200]
    assert request(endpoint, "GET", "/latest/meta-data/mac", headers)[0] == 200
    assert service.control({})["faults"][0]["struck"] == 2


def test_after_a_single_401_the_next_token_works(service: imds.Service, endpoint: imds.Endpoint) -> None:
    service.control({"faults": [{"path": "*/meta-data/*", "kind": "unauthorized", "times": 1}]})
    assert request(endpoint, "GET", "/latest/meta-data/mac", with_token(endpoint))[0] == 401
    assert request(endpoint, "GET", "/latest/meta-data/mac", with_token(endpoint))[0] == 200


def test_a_hung_answer_hangs_until_its_client_leaves(service: imds.Service, endpoint: imds.Endpoint) -> None:
    service.control({"faults": [{"kind": "hang"}]})
    before = threading.active_count()
    with pytest.raises(TimeoutError):
        request(endpoint, "GET", "/", timeout=0.2)
    service.control({"faults": []})
    assert request(endpoint, "GET", "/")[0] == 401
    for _ in range(200):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_refused_request_resets_the_connection(service: imds.Service, endpoint: imds.Endpoint) -> None:
    service.control({"faults": [{"kind": "refused"}]})
    with pytest.raises(ConnectionResetError):
        request(endpoint, "GET", "/")


def test_a_delayed_answer_comes_late(service: imds.Service, endpoint: imds.Endpoint) -> None:
    service.control({"faults": [{"kind": "latency", "milliseconds": 150}]})
    began = time.monotonic()
    assert request(endpoint, "GET", "/")[0] == 401
    assert time.monotonic() - began >= 0.15


def test_a_rate_affects_the_same_requests_with_the_same_seed() -> None:
    service, runs = imds.Service(lambda id: None), []
    for seed in (7, 7, 8):
        service.control({"faults": [{"rate": 0.5}], "seed": seed})
        runs.append([service.find_fault("i-1", "/") is not None for _ in range(64)])
    assert runs[0] == runs[1] != runs[2]
    assert 10 < sum(runs[0]) < 54


def test_a_fault_can_be_limited_to_one_instance() -> None:
    service = imds.Service(lambda id: None)
    service.control({"faults": [{"instance": "i-1"}]})
    assert service.find_fault("i-1", "/")
    assert not service.find_fault("i-2", "/")


@pytest.mark.parametrize(
    "control",
    [
        {"faults": [{"kind": "fire"}]},
        {"faults": [{"rate": 2}]},
        {"faults": [{"status": 404}]},
        {"faults": [{"milliseconds": -1}]},
        {"faults": [{"times": 0}]},
        {"faults": [{"colour": "red"}]},
        {"instance": "i-missing", "rebalance": True},
        {"instance": "i-0123456789abcdef0", "spot": "explode"},
        {"spots": 1},
    ],
)
def test_an_invalid_control_changes_nothing(service: imds.Service, control: dict[str, Any]) -> None:
    service.control({"faults": [{"path": "/kept"}]})
    with pytest.raises((TypeError, ValueError)):
        service.control(control)
    assert service.control({})["faults"][0]["path"] == "/kept"
    assert service.control({})["notices"] == {}


def test_a_notice_holds_until_another_replaces_it(service: imds.Service) -> None:
    service.control({"instance": VIEW.instance_id, "spot": "terminate", "in_seconds": 30, "rebalance": True})
    notice = service.notices[VIEW.instance_id]
    assert (notice.spot, 25 < notice.spot_at - time.time() < 31, notice.rebalance_at is not None) == (
        "terminate",
        True,
        True,
    )
    service.control({"instance": VIEW.instance_id})
    assert service.notices[VIEW.instance_id].spot is None
    service.clear()
    assert service.control({}) == {"faults": [], "notices": {}}
