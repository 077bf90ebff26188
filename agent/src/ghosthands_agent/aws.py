"""Auto Scaling, EC2, Secrets Manager and ECR, called with the instance's role.

A client is created when first needed: botocore costs 35 MB and 0.15 s. It keeps the credentials that it was made with,
also none: a client without any is not kept (botocore issue 2304). Each call is made once, in a thread (no time-out
bounds a DNS look-up), and given up after 5 s: the procedures retry. Errors consist of the service, the action and AWS's
code, without text, request or response.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .background import Background
from .passing_errors import ALWAYS
from .ports import (
    NO_ACTIVE_ACTION,
    NO_CREDENTIALS,
    GroupState,
    Member,
    PortError,
    Refused,
    Result,
    Task,
    Unavailable,
)
from .wishes import ANSWER_TAG

T = TypeVar("T")
CALL_SECONDS = 5.0
#: Within CALL_SECONDS; an answer takes 20 to 300 ms.
CONNECT_SECONDS, READ_SECONDS = 2.0, 2.5
#: GetSecretValue and GetAuthorizationToken are tasks, so they may take longer.
SLOW_READ_SECONDS = 10.0

#: DescribeScalingActivities: "The maximum value is 100".
PAGE_RECORDS = 100
#: How the description of a launch begins, whether it succeeded or not (Auto Scaling User Guide, "Verify a scaling
#: activity for an Auto Scaling group").
LAUNCHES = "Launching a new EC2 instance"

#: Codes after which a client's credentials are not trusted any more: the next call reads them again.
BAD_CREDENTIALS = frozenset(
    "ExpiredToken ExpiredTokenException InvalidClientTokenId UnrecognizedClientException".split()
)


class Account:
    """Calls of the account's services.

    Args:
        region: such as `us-east-1`.
        endpoint_url: replaces AWS's endpoints; None: AWS.
    """

    def __init__(self, region: str, endpoint_url: str | None = None) -> None:
        self._region, self._endpoint_url = region, endpoint_url
        self._clients: dict[tuple[str, str], Any] = {}

    def call(
        self, service: str, operation: str, *, region: str | None = None, slow: bool = False, **parameters: Any
    ) -> Any:
        """AWS's answer to one call, without a retry. Raises Unavailable, Refused.

        :param operation: in botocore's spelling, such as `set_instance_health`.
        :param region: another region than the account's.
        :param slow: allow 10 s for the answer.
        """
        import botocore.exceptions

        region = region or self._region
        try:
            client = self._client(service, region, slow)
            return getattr(client, operation)(**parameters)
        except botocore.exceptions.ClientError as error:
            problem = _port_error(f"{service}:{operation}", error.response)
            if problem.code in BAD_CREDENTIALS:
                self._clients.pop((service, region), None)
            raise problem from None
        except (
            botocore.exceptions.NoCredentialsError,
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.CredentialRetrievalError,
        ):
            self._clients.pop((service, region), None)
            raise Unavailable(f"{service}:{operation}", NO_CREDENTIALS) from None
        except (botocore.exceptions.ParamValidationError, botocore.exceptions.UnknownServiceError, ValueError) as error:
            raise Refused(f"{service}:{operation}", type(error).__name__) from None
        except (botocore.exceptions.BotoCoreError, OSError) as error:
            raise Unavailable(f"{service}:{operation}", type(error).__name__) from None

    def _client(self, service: str, region: str, slow: bool) -> Any:
        import botocore.config
        import botocore.exceptions
        import botocore.session

        if (service, region) not in self._clients:
            session = botocore.session.Session()
            session.set_config_variable("ec2_metadata_v1_disabled", True)
            session.set_config_variable("metadata_service_num_attempts", 2)  # a second each: botocore's default
            if session.get_credentials() is None:
                raise botocore.exceptions.NoCredentialsError
            self._clients[service, region] = session.create_client(
                service,
                region_name=region,
                endpoint_url=self._endpoint_url,
                config=botocore.config.Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=SLOW_READ_SECONDS if slow else READ_SECONDS,
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    max_pool_connections=1,
                ),
            )
        return self._clients[service, region]


def _port_error(call: str, response: Any) -> PortError:
    """The error for AWS's answer, by its code."""
    code, message = str(response["Error"].get("Code", "")), str(response["Error"].get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "ValidationError" and "No active Lifecycle Action found" in message:
        return Refused(call, NO_ACTIVE_ACTION)
    return (Unavailable if code in ALWAYS or status >= 500 or status == 429 else Refused)(call, code or str(status))


def _template(specification: Mapping[str, str]) -> str:
    """A launch template and its version; empty if that is no number: what $Latest is now, the instance cannot see."""
    version = specification.get("Version", "")
    return f"{specification.get('LaunchTemplateId', '')}:{version}" if version.isdecimal() else ""


def _group_state(raw: Mapping[str, Any]) -> GroupState:
    """A group in AWS's form. Raises LookupError, TypeError, ValueError."""
    mixed = raw.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    members = [
        Member(
            id=str(each["InstanceId"]),
            state=str(each["LifecycleState"]),
            healthy=each["HealthStatus"] == "Healthy",
            template=_template(each.get("LaunchTemplate") or {}),
        )
        for each in raw.get("Instances", [])
    ]
    return GroupState(
        desired=int(raw["DesiredCapacity"]),
        template=_template(raw.get("LaunchTemplate") or mixed or {}),
        members=sorted(members, key=lambda each: each.id),
    )


class OwnGroup:
    """ports.Group: the calls that this instance may make for its Auto Scaling group."""

    def __init__(self, account: Account, group: str, instance_id: Callable[[], str]) -> None:
        self._account, self._group, self._instance_id = account, group, instance_id
        # A thread each: a call that hangs ends before the next one of its kind is made, so none arrives out of order,
        # and a heartbeat or a completion never waits for a protection.
        self._background, self._protections = Background("autoscaling"), Background("protection")
        self._readings = Background("group")

    def heartbeat(self, hook: str) -> None:
        """See ports.Group."""
        self._call(
            "record_lifecycle_action_heartbeat",
            AutoScalingGroupName=self._group,
            LifecycleHookName=hook,
            InstanceId=self._instance_id(),
        )

    def complete(self, hook: str, result: Result) -> None:
        """See ports.Group."""
        self._call(
            "complete_lifecycle_action",
            AutoScalingGroupName=self._group,
            LifecycleHookName=hook,
            LifecycleActionResult=result,
            InstanceId=self._instance_id(),
        )

    def protect(self, protected: bool) -> None:
        """See ports.Group."""
        self._call_in(
            self._protections,
            "set_instance_protection",
            AutoScalingGroupName=self._group,
            InstanceIds=[self._instance_id()],
            ProtectedFromScaleIn=protected,
        )

    def report_unhealthy(self) -> None:
        """See ports.Group."""
        self._call(
            "set_instance_health",
            InstanceId=self._instance_id(),
            HealthStatus="Unhealthy",
            ShouldRespectGracePeriod=False,
        )

    def state(self) -> GroupState:
        """See ports.Group. AutoScalingGroup and Instance in the API Reference have these members."""
        operation = "describe_auto_scaling_groups"
        answer = self._call_in(self._readings, operation, AutoScalingGroupNames=[self._group])
        if not (found := answer.get("AutoScalingGroups")):
            raise Refused(f"autoscaling:{operation}", "NotFound")
        try:
            return _group_state(found[0])
        except (LookupError, TypeError, ValueError):
            raise Unavailable(f"autoscaling:{operation}", "wrong shape") from None

    def launches(self, since: float) -> list[float]:
        """See ports.Group."""
        operation, begins, page = "describe_scaling_activities", list[float](), dict[str, str]()
        while True:
            answer = self._call_in(
                self._readings, operation, AutoScalingGroupName=self._group, MaxRecords=PAGE_RECORDS, **page
            )
            try:
                found = [(each["Description"], each["StartTime"].timestamp(), each) for each in answer["Activities"]]
            except (LookupError, TypeError, ValueError, AttributeError):
                raise Unavailable(f"autoscaling:{operation}", "wrong shape") from None
            begins += [began for text, began, _each in found if began >= since and text.startswith(LAUNCHES)]
            is_old = any(began < since and "EndTime" in each for _text, began, each in found)
            if is_old or not answer.get("NextToken"):
                return begins
            page = {"NextToken": answer["NextToken"]}

    def _call(self, operation: str, **parameters: Any) -> None:
        self._call_in(self._background, operation, **parameters)

    def _call_in(self, background: Background, operation: str, **parameters: Any) -> Any:
        future = background.begin(lambda: self._account.call("autoscaling", operation, **parameters))
        try:
            return future.result(CALL_SECONDS)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise Unavailable(f"autoscaling:{operation}", "Timeout") from None


class OwnTag:
    """ports.Answers. The role's policy allows this tag of this instance only."""

    def __init__(self, account: Account, instance_id: Callable[[], str]) -> None:
        self._account, self._instance_id = account, instance_id
        self._background = Background("answers")

    def write(self, text: str) -> Task[None]:
        """See ports.Answers."""
        return self._background.begin(lambda: self._write(text))

    def _write(self, text: str) -> None:
        tag = {"Key": ANSWER_TAG, "Value": text}
        self._account.call("ec2", "create_tags", slow=True, Resources=[self._instance_id()], Tags=[tag])


class WorkerSecret:
    """ports.Secret."""

    def __init__(self, account: Account, secret_id: str) -> None:
        self._account, self._secret_id = account, secret_id
        self._background = Background("secret")

    def fetch(self) -> Task[str]:
        """See ports.Secret."""
        return self._background.begin(self._text)

    def _text(self) -> str:
        answer = self._account.call("secretsmanager", "get_secret_value", slow=True, SecretId=self._secret_id)
        if not isinstance(text := answer.get("SecretString"), str):
            raise Refused("secretsmanager:get_secret_value", "NoSecretString")
        return text
