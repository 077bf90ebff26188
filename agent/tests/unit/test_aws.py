"""Calls of AWS, with a server that gives AWS's replies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from ghosthands_agent import aws
from ghosthands_agent.aws import Account, OwnGroup, OwnTag, WorkerSecret
from ghosthands_agent.ports import NO_ACTIVE_ACTION, GroupState, Member, PortError, Refused, Unavailable
from unit.fake_http import FakeServer, Reply, Request, fake_server
from unit.tasks import result_of

INSTANCE = "i-0123456789abcdef0"
XML = {"Content-Type": "text/xml"}


def xml(action: str) -> Reply:
    return Reply(body=f"<{action}Response><{action}Result/></{action}Response>", headers=XML)


def refusal(code: str, message: str = "canary", status: int = 400) -> Reply:
    """An error of the query protocol."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, f"<ErrorResponse>{error}</ErrorResponse>", headers=XML)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-for-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-tests")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def group(server: FakeServer) -> OwnGroup:
    return OwnGroup(Account("us-east-1", server.url), "gh worker & co", lambda: INSTANCE)


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        (
            lambda own: own.heartbeat("hook"),
            ["Action=RecordLifecycleActionHeartbeat", "LifecycleHookName=hook", f"InstanceId={INSTANCE}"],
        ),
        (
            lambda own: own.complete("hook", "ABANDON"),
            ["Action=CompleteLifecycleAction", "LifecycleActionResult=ABANDON", f"InstanceId={INSTANCE}"],
        ),
        (
            lambda own: own.protect(True),
            ["Action=SetInstanceProtection", "ProtectedFromScaleIn=true", f"InstanceIds.member.1={INSTANCE}"],
        ),
        (
            lambda own: own.report_unhealthy(),
            ["Action=SetInstanceHealth", "HealthStatus=Unhealthy", "ShouldRespectGracePeriod=false"],
        ),
    ],
)
def test_each_call_has_its_parameters(call: Callable[[OwnGroup], None], parameters: list[str]) -> None:
    with fake_server(lambda request: xml(request.body.split("&")[0].removeprefix("Action="))) as server:
        call(group(server))
        (request,) = server.requests
        assert set(parameters) <= set(request.body.split("&"))
        assert "AutoScalingGroupName=gh+worker+%26+co" in request.body or "SetInstanceHealth" in request.body


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (
            refusal("ValidationError", "No active Lifecycle Action found with instance ID i-1"),
            Refused,
            NO_ACTIVE_ACTION,
        ),
        (refusal("ValidationError"), Refused, "ValidationError"),
        (refusal("AccessDenied", status=403), Refused, "AccessDenied"),
        (refusal("ExpiredToken", status=403), Unavailable, "ExpiredToken"),
        (refusal("Throttling"), Unavailable, "Throttling"),
        (refusal("ResourceContention"), Unavailable, "ResourceContention"),
        (refusal("InternalFailure", status=500), Unavailable, "InternalFailure"),
        (refusal("Whatever", status=503), Unavailable, "Whatever"),
        (Reply(503, "<html>canary</html>"), Unavailable, None),
        (None, Unavailable, None),
    ],
)
def test_errors_are_classified_by_code_and_contain_no_text(
    answer: Reply | None, kind: type[PortError], code: str | None
) -> None:
    with fake_server(lambda _: answer) as server:
        with pytest.raises(PortError) as caught:
            group(server).complete("hook", "CONTINUE")
        assert type(caught.value) is kind
        assert code in (None, caught.value.code)
        assert caught.value.call == "autoscaling:complete_lifecycle_action"
        assert "canary" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_an_answer_is_one_tag_of_the_own_instance() -> None:
    with fake_server(lambda _: Reply(body="<CreateTagsResponse><return>true</return></CreateTagsResponse>")) as server:
        result_of(OwnTag(Account("us-east-1", server.url), lambda: INSTANCE).write("hold@00000001 done"))
        (request,) = server.requests
    expected = {f"ResourceId.1={INSTANCE}", "Tag.1.Key=ghosthands%3Adid", "Tag.1.Value=hold%4000000001+done"}
    assert {"Action=CreateTags", *expected} <= set(request.body.split("&"))


def test_a_call_is_made_once() -> None:
    """The retries are the procedures', which know what time is left."""
    with fake_server(lambda _: refusal("InternalFailure", status=500)) as server:
        with pytest.raises(Unavailable):
            group(server).heartbeat("hook")
        assert len(server.calls) == 1


def test_a_call_takes_five_seconds_at_most() -> None:
    with fake_server(lambda _: Reply(hang=8.0)) as server:
        own, began = group(server), time.monotonic()
        with pytest.raises(Unavailable):
            own.heartbeat("hook")
        assert time.monotonic() - began < aws.CALL_SECONDS + 0.5


def test_a_call_without_a_timeout_of_its_own_is_given_up_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the resolution of a name."""
    seconds = aws.CALL_SECONDS
    monkeypatch.setattr(aws, "CALL_SECONDS", 0.2)
    answers = iter([Reply(hang=0.6), xml("RecordLifecycleActionHeartbeat")])
    with fake_server(lambda _: next(answers)) as server:
        own = group(server)
        with pytest.raises(Unavailable, match="autoscaling:record_lifecycle_action_heartbeat: Timeout"):
            own.heartbeat("first")
        time.sleep(0.6)
        monkeypatch.setattr(aws, "CALL_SECONDS", seconds)
        own.heartbeat("second")
        assert [
            "LifecycleHookName=" + name in request.body
            for name, request in zip(["first", "second"], server.requests, strict=True)
        ] == [True] * 2


def test_calls_arrive_in_the_order_in_which_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that hangs is not overtaken by a later one; a call that is given up before its turn is never made."""
    seconds = aws.CALL_SECONDS
    monkeypatch.setattr(aws, "CALL_SECONDS", 0.15)
    seen: list[str] = []

    def slow_at_first(request: Request) -> Reply:
        seen.append(request.body)
        return Reply(hang=0.5) if len(seen) == 1 else xml("SetInstanceProtection")

    with fake_server(slow_at_first) as server:
        own = group(server)
        for protected in (True, False):
            with pytest.raises(Unavailable, match="Timeout"):
                own.protect(protected)
        time.sleep(0.5)
        monkeypatch.setattr(aws, "CALL_SECONDS", seconds)
        own.protect(True)
    assert len(seen) == 2
    assert all("ProtectedFromScaleIn=true" in body for body in seen)


def test_a_refused_connection_is_unavailable() -> None:
    with fake_server({}) as server:
        own = group(server)
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        own.heartbeat("hook")


def test_without_credentials_it_may_work_later(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with fake_server({}) as server, pytest.raises(Unavailable, match="NoCredentials"):
        group(server).heartbeat("hook")


def test_an_invalid_endpoint_is_refused() -> None:
    with pytest.raises(Refused, match="ValueError"):
        OwnGroup(Account("us-east-1", "http://not a host"), "g", lambda: INSTANCE).heartbeat("hook")


def test_an_instance_id_that_is_not_known_yet_is_the_metadata_services_failure() -> None:
    def unknown() -> str:
        raise Unavailable("imds:instance-id", "time-out")

    with fake_server({}) as server, pytest.raises(Unavailable, match="imds:instance-id: time-out"):
        OwnGroup(Account("us-east-1", server.url), "g", unknown).heartbeat("hook")


def secret(answer: dict[str, Any] | Reply) -> str:
    reply = answer if isinstance(answer, Reply) else Reply(body=json.dumps(answer))
    with fake_server(lambda _: reply) as server:
        return result_of(WorkerSecret(Account("us-east-1", server.url), "ghosthands/worker/env").fetch())


def test_a_secret_is_its_text() -> None:
    assert secret({"SecretString": '{"A": "1"}', "Name": "ghosthands/worker/env"}) == '{"A": "1"}'


def test_a_binary_secret_is_refused() -> None:
    with pytest.raises(Refused, match="secretsmanager:get_secret_value: NoSecretString"):
        secret({"SecretBinary": "AAAA"})


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ResourceNotFoundException", 400, Refused),
        ("AccessDeniedException", 400, Refused),
        ("InternalServiceError", 500, Unavailable),
    ],
)
def test_an_unreadable_secret_is_an_error_with_its_code_only(code: str, status: int, kind: type[PortError]) -> None:
    body = json.dumps({"__type": code, "message": "canary"})
    with pytest.raises(kind) as caught:
        secret(Reply(status, body, headers={"x-amzn-ErrorType": code}))
    assert str(caught.value) == f"secretsmanager:get_secret_value: {code}"


def described(*instances: tuple[str, str, str], version: str = "7") -> Reply:
    """DescribeAutoScalingGroups."""
    members = "".join(
        f"<member><InstanceId>{id}</InstanceId><LifecycleState>{state}</LifecycleState><HealthStatus>{health}"
        "</HealthStatus><LaunchTemplate><LaunchTemplateId>lt-1</LaunchTemplateId><Version>6</Version></LaunchTemplate>"
        "</member>"
        for id, state, health in instances
    )
    template = f"<LaunchTemplateId>lt-1</LaunchTemplateId><Version>{version}</Version>"
    group = (
        f"<member><DesiredCapacity>2</DesiredCapacity><LaunchTemplate>{template}</LaunchTemplate>"
        f"<Instances>{members}</Instances></member>"
    )
    result = f"<AutoScalingGroups>{group}</AutoScalingGroups>"
    return Reply(
        body=f"<R><DescribeAutoScalingGroupsResult>{result}</DescribeAutoScalingGroupsResult></R>", headers=XML
    )


def test_a_group_has_its_members_by_id_with_their_states_and_templates() -> None:
    reply = described(("i-2", "Terminating:Retained", "Unhealthy"), ("i-1", "InService", "Healthy"))
    with fake_server(lambda _: reply) as server:
        found = group(server).state()
    assert found == GroupState(
        2,
        "lt-1:7",
        [
            Member("i-1", "InService", healthy=True, template="lt-1:6"),
            Member("i-2", "Terminating:Retained", healthy=False, template="lt-1:6"),
        ],
    )


def test_a_template_version_that_is_no_number_is_not_known() -> None:
    with fake_server(lambda _: described(version="$Latest")) as server:
        assert group(server).state().template == ""


def test_a_group_that_does_not_exist_is_refused() -> None:
    with fake_server(lambda _: xml("DescribeAutoScalingGroups")) as server, pytest.raises(Refused, match="NotFound"):
        group(server).state()


def activities(*found: tuple[str, str, bool], token: str = "") -> Reply:
    """DescribeScalingActivities: description, start, whether it has ended."""
    members = "".join(
        f"<member><Description>{description}</Description><StartTime>{start}</StartTime>"
        f"{f'<EndTime>{start}</EndTime>' if ended else ''}</member>"
        for description, start, ended in found
    )
    result = f"<Activities>{members}</Activities>" + (f"<NextToken>{token}</NextToken>" if token else "")
    return Reply(
        body=f"<R><DescribeScalingActivitiesResult>{result}</DescribeScalingActivitiesResult></R>", headers=XML
    )


def test_launches_of_all_pages_count_failed_ones_too_and_nothing_older() -> None:
    launch = "Launching a new EC2 instance"
    pages = iter(
        [
            activities(
                (f"{launch}: i-4", "2026-08-01T11:10:00Z", False),  # in progress, and older than what follows
                (f"{launch}.  Status Reason: no capacity", "2026-08-01T12:50:00Z", True),
                ("Terminating EC2 instance: i-3", "2026-08-01T12:40:00Z", True),
                token="more",
            ),
            activities(
                (f"{launch}: i-2", "2026-08-01T12:00:00Z", True),
                (f"{launch}: i-1", "2026-08-01T11:59:59Z", True),
                token="older",
            ),
        ]
    )
    noon = datetime(2026, 8, 1, 12, tzinfo=UTC).timestamp()
    with fake_server(lambda _: next(pages)) as server:
        assert group(server).launches(noon) == [noon + 3000, noon]
        assert ["NextToken=more" in request.body for request in server.requests] == [False, True]


def test_a_page_that_fails_leaves_nothing_known() -> None:
    pages = iter([activities(("Launching a new EC2 instance: i-1", "2026-08-01T12:00:00Z", True), token="more")])
    with fake_server(lambda _: next(pages, refusal("Throttling"))) as server, pytest.raises(Unavailable):
        group(server).launches(0.0)
