"""IAM: moto's, with all of AWS's managed policies, each made when a call first names it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Protocol, cast

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, EmptyResult
from moto.core.serialize import never_return, return_if_not_empty
from moto.iam import urls
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import DeleteConflictException, InvalidInput, MalformedPolicyDocument, NotFoundException
from moto.iam.models import AWSManagedPolicy, IAMBackend, ManagedPolicy, Role
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from moto.iam.responses import IamResponse
from moto.iam.utils import generate_access_key_id_from_account_id

from localcloud import seed
from localcloud.clock import Clock
from localcloud.iam import simulation
from localcloud.iam.policies import ALLOW_ALL, Malformed, Policies, Policy, parse
from localcloud.iam.principals import documents_of, policies_of, principal_keys
from localcloud.iam.propagation import Propagation
from localcloud.strictness import Strictness

_READS = re.compile("Get|List|Simulate")
#: The services whose own role is made by a first use: the role's name and description.
LINKED_ROLES = {
    "autoscaling.amazonaws.com": (
        "AWSServiceRoleForAutoScaling",
        "Default Service-Linked Role enables access to AWS Services and Resources used or managed by Auto Scaling",
    ),
    "spot.amazonaws.com": ("AWSServiceRoleForEC2Spot", "Default EC2 Spot Service Linked Role"),
}


@cache
def _aws_policies() -> dict[str, dict[str, Any]]:
    """AWS's managed policies by path and name, as moto has recorded them (1,582 in moto 5.2.5)."""
    return {
        f"{data['Path']}{name}": {**data, "Name": name} for name, data in json.loads(aws_managed_policies_data).items()
    }


class Iam(IamResponse):
    """IAM's actions, with those that moto lacks: what deleting a user needs, and a user's permissions boundary."""

    #: Lists leave out what their pages say (API, ListUsers, ListInstanceProfiles), others what is empty.
    RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        **IamResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER,
        "ListUsersResponse.Users.User.PermissionsBoundary": never_return,
        "InstanceProfiles.InstanceProfile.Tags": never_return,
        "Response.InstanceProfile.Tags": return_if_not_empty,
    }

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the call, with those of AWS's managed policies that it names; what it changes takes effect later."""
        for name in ("PolicyArn", "PermissionsBoundary"):
            cast(IamBackend, self.backend).recall(self._get_param(name))
        answer = super().call_action()
        if not _READS.match(self._get_action()):
            cast(IamBackend, self.backend).settle()
        return answer

    def serialized(self, action_result: ActionResult) -> TYPE_RESPONSE:
        """The answer; each list says whether it goes on (API, IsTruncated; moto says so in some)."""
        if self._get_action().startswith("List") and isinstance(action_result.result, dict):
            action_result = ActionResult({"IsTruncated": False, **action_result.result})
        return super().serialized(action_result)

    def list_policies(self) -> ActionResult:
        """ListPolicies; AWS's own come along unless only the account's are asked for."""
        if self._get_param("Scope") != "Local" and not self._get_param("OnlyAttached"):
            for path in _aws_policies():
                cast(IamBackend, self.backend).recall(f"arn:{self.partition}:iam::aws:policy{path}")
        return super().list_policies()

    def update_role(self) -> ActionResult:
        """UpdateRole: what is not named stays (API, UpdateRole; moto resets it)."""
        role = self.backend.get_role(self._get_param("RoleName"))
        role.description = self._get_param("Description", role.description)
        role.max_session_duration = self._get_param("MaxSessionDuration", role.max_session_duration)
        return EmptyResult()

    def list_instance_profiles(self) -> ActionResult:
        """ListInstanceProfiles by path; without tags, as its page says."""
        return ActionResult({"InstanceProfiles": self._at_path(self.backend.get_instance_profiles())})

    def list_groups(self) -> ActionResult:
        """ListGroups by path."""
        return ActionResult({"Groups": self._at_path(self.backend.list_groups())})

    def list_entities_for_policy(self) -> ActionResult:
        """ListEntitiesForPolicy by path; moto overlooks that of groups."""
        result = cast(dict[str, Any], super().list_entities_for_policy().result)
        return ActionResult({**result, "PolicyGroups": self._at_path(result["PolicyGroups"])})

    def _at_path(self, entities: Iterable[Any]) -> list[Any]:
        prefix = self._get_param("PathPrefix", "/")
        return [entity for entity in entities if entity.path.startswith(prefix)]

    def create_user(self) -> ActionResult:
        """CreateUser; moto drops the permissions boundary."""
        boundary = self._checked_boundary()
        made = super().create_user()
        self._bind(boundary)
        return made

    def put_user_permissions_boundary(self) -> ActionResult:
        """PutUserPermissionsBoundary."""
        self._bind(self._checked_boundary())
        return EmptyResult()

    def delete_user_permissions_boundary(self) -> ActionResult:
        """DeleteUserPermissionsBoundary."""
        self._bind(None)
        return EmptyResult()

    def _checked_boundary(self) -> str | None:
        arn: str | None = self._get_param("PermissionsBoundary")
        cast(IamBackend, self.backend).check_boundary(arn)
        return arn

    def _bind(self, arn: str | None) -> None:
        shown = {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": arn} if arn else None
        vars(self.backend.get_user(self._get_param("UserName")))["permissions_boundary"] = shown

    def list_service_specific_credentials(self) -> ActionResult:
        """ListServiceSpecificCredentials: there are none here."""
        self.backend.get_user(self._get_param("UserName"))
        return ActionResult({"ServiceSpecificCredentials": []})

    def simulate_principal_policy(self) -> ActionResult:
        """SimulatePrincipalPolicy: the policies of a user (and its groups), a group or a role, and additional ones."""
        source = str(self._get_param("PolicySourceArn"))
        backend = cast(IamBackend, self.backend)
        if (
            source == f"arn:aws:iam::{seed.ACCOUNT}:user/{seed.OPERATOR}"
        ):  # who may do everything, and is not a user in moto
            return self._simulated(Policies((ALLOW_ALL,)), {})
        entity = backend.principal(source)
        own = policies_of(documents_of(entity, backend))
        more = self._policies("PolicyInputList") or ()
        boundary = self._policies("PermissionsBoundaryPolicyInputList") or own.boundary
        return self._simulated(
            Policies((*own.identity, *more), boundary), {} if ":group/" in source else principal_keys(entity, backend)
        )

    def simulate_custom_policy(self) -> ActionResult:
        """SimulateCustomPolicy: policies that are given as text."""
        return self._simulated(
            Policies(self._policies("PolicyInputList") or (), self._policies("PermissionsBoundaryPolicyInputList")), {}
        )

    def _policies(self, parameter: str) -> tuple[Policy, ...] | None:
        texts = self._get_param(parameter) or []
        try:
            return tuple(parse(f"{parameter}.{number}", text) for number, text in enumerate(texts, 1)) or None
        except Malformed as problem:
            raise InvalidInput(str(problem)) from problem

    def _simulated(self, policies: Policies, context: dict[str, tuple[str, ...]]) -> ActionResult:
        """Both simulations' answer, in pages."""
        if odd := [name for name in simulation.NOT_MODELLED if self._get_param(name)]:
            raise NotImplementedError(f"{odd[0]} of the policy simulator")
        context |= simulation.entries(self._get_param("ContextEntries") or [])
        actions, resources = self._get_param("ActionNames"), self._get_param("ResourceArns") or ["*"]
        if apart := simulation.apart(actions, resources):
            raise InvalidInput(apart)
        results = simulation.simulated(actions, resources, policies, context)
        start, most = int(self._get_param("Marker") or 0), int(self._get_param("MaxItems") or 100)
        left = {"Marker": str(start + most)} if len(results) > start + most else {}
        return ActionResult({"EvaluationResults": results[start : start + most], "IsTruncated": bool(left), **left})


class PolicyValidator(IAMPolicyDocumentValidator):
    """moto's check of a document; an inline one may be of 2008, or not say (UG, reference_policies_elements)."""

    def _validate_version(self) -> None:
        """Any that the grammar knows."""


class Cloud(Protocol):
    """What IAM needs of the world that it is in."""

    clock: Clock
    strictness: Strictness

    def delay(self, longest: float) -> float:
        """Some seconds, at most so many."""


class IamBackend(IAMBackend):
    """IAM of one account."""

    _url_module = urls

    def __init__(self, region_name: str, account_id: str, cloud: Cloud) -> None:
        self.cloud = cloud
        self._propagation = Propagation[Any]()
        super().__init__(region_name, account_id)

    def settle(self) -> None:
        """Note what has changed: it takes effect some seconds later."""
        if longest := self.cloud.strictness.propagation_seconds:
            self._propagation.note(dict(self._facts()), self.cloud.clock.now(), lambda: self.cloud.delay(longest))

    def _facts(self) -> Iterator[tuple[tuple[str, str], Any]]:
        """Everything here that decides about calls, by what it is about."""
        entities: list[Any] = [*self.users.values(), *self.roles.values()]
        for entity in entities:
            yield ("policies", entity.arn), documents_of(entity, self)
        for user in self.users.values():
            for key in user.access_keys:
                yield ("access key", key.access_key_id), key.status
        for role in self.roles.values():
            yield ("trust", role.arn), role.assume_role_policy_document
        for profile in self.instance_profiles.values():
            yield ("instance profile", profile.arn), tuple(role.arn for role in profile.roles)

    def effective(self, kind: str, name: str, written: Any) -> Any:
        """What is in effect of a fact that is written so; None: nothing is yet."""
        return self._propagation.effective((kind, name), written, self.cloud.clock.now())

    def effective_policies(self, entity: Any, session: str | None = None) -> Policies:
        """The policies of a user or role that are in effect."""
        documents = self.effective("policies", entity.arn, documents_of(entity, self))
        return policies_of(documents or ((), None), session)

    def sees_profile(self, profile: Any) -> bool:
        """Whether EC2 and Auto Scaling know of an instance profile yet."""
        return self.effective("instance profile", profile.arn, ()) is not None

    def linked_role(self, service: str) -> Any:
        """The service's own role in this account (``AWSServiceRoleFor...``); None: it has not been made yet."""
        return next((role for role in self.roles.values() if role.name == LINKED_ROLES[service][0]), None)

    def make_linked_role(self, service: str) -> Any:
        """The service's own role, which is made if it is missing (id_roles_create-service-linked-role)."""
        return self.linked_role(service) or self.create_service_linked_role(service, LINKED_ROLES[service][1], "")

    def create_service_linked_role(self, service_name: str, description: str, suffix: str) -> Role:
        """CreateServiceLinkedRole; moto makes one that exists a second time, and knows few names."""
        name = LINKED_ROLES.get(service_name, ("", ""))[0]
        full = f"{name}_{suffix}" if suffix else name
        if name and any(role.name == full for role in self.roles.values()):
            raise InvalidInput(
                f"Service role name {full} has been taken in this account, please try a different suffix."
            )
        role = super().create_service_linked_role(service_name, description, suffix)
        if name and role.name != full:
            role.name = full
        return role

    def principal(self, arn: str) -> Any:
        """The user, group or role of that ARN.

        Raises:
            NotFoundException: there is none.
        """
        entities: list[Any] = [*self.users.values(), *self.groups.values(), *self.roles.values()]
        for entity in entities:
            if entity.arn == arn:
                return entity
        raise NotFoundException(f"The entity with ARN {arn} cannot be found.")

    def delete_policy(self, policy_arn: str) -> None:
        """DeletePolicy; moto deletes an attached one."""
        if self.get_policy(policy_arn).attachment_count:
            raise DeleteConflictException("Cannot delete a policy attached to entities.")
        super().delete_policy(policy_arn)

    def create_role(
        self,
        role_name: str,
        assume_role_policy_document: str,
        path: str,
        permissions_boundary: str | None,
        *others: Any,
        **options: Any,
    ) -> Role:
        """CreateRole; moto takes a permissions boundary that is not there."""
        self.check_boundary(permissions_boundary)
        return super().create_role(
            role_name, assume_role_policy_document, path, permissions_boundary, *others, **options
        )

    def tag_instance_profile(self, instance_profile_name: str, tags: list[dict[str, str]]) -> None:
        """TagInstanceProfile, with the tags checked."""
        self._tag_verification(tags)
        super().tag_instance_profile(instance_profile_name, tags)

    def put_role_permissions_boundary(self, role_name: str, permissions_boundary: str) -> None:
        """PutRolePermissionsBoundary; likewise."""
        self.check_boundary(permissions_boundary)
        super().put_role_permissions_boundary(role_name, permissions_boundary)

    def check_boundary(self, arn: str | None) -> None:
        """Refuse a boundary that does not exist."""
        if arn and self.policy_arn_regex.match(arn) and arn not in self.managed_policies:
            raise NotFoundException(f"Scope ARN: {arn} does not exist or is not attachable.")

    def _init_aws_policies(self) -> list[ManagedPolicy]:
        """None yet: see ``recall``."""
        return []

    def recall(self, arn: str | None) -> None:
        """Make one of AWS's managed policies, if that is what the ARN names."""
        path = str(arn).removeprefix(f"arn:{self.partition}:iam::aws:policy")
        if arn and arn not in self.managed_policies and path in _aws_policies():
            data = _aws_policies()[path]
            policy = AWSManagedPolicy.from_data(data["Name"], self.account_id, self.region_name, data)
            policy.id = self._new_id("ANPA")
            self.managed_policies[arn] = policy
            self.aws_managed_policies.append(policy)

    # Ids have a prefix for their kind (UG, "IAM identifiers", unique ids); moto's do not.

    def create_user(self, *arguments: Any, **options: Any) -> Any:
        """CreateUser."""
        return self._identified(super().create_user(*arguments, **options), "AIDA")

    def create_group(self, *arguments: Any, **options: Any) -> Any:
        """CreateGroup."""
        return self._identified(super().create_group(*arguments, **options), "AGPA")

    def create_policy(
        self, description: str, path: str, policy_document: str, policy_name: str, tags: list[dict[str, str]]
    ) -> Any:
        """CreatePolicy; a managed policy has to be of 2012 (AWS's message)."""
        _check_version(policy_document)
        return self._identified(super().create_policy(description, path, policy_document, policy_name, tags), "ANPA")

    def create_policy_version(self, policy_arn: str, policy_document: str, set_as_default: bool) -> Any:
        """CreatePolicyVersion; likewise."""
        _check_version(policy_document)
        return super().create_policy_version(policy_arn, policy_document, set_as_default)

    def create_instance_profile(
        self, name: str, path: str, role_names: list[str], tags: list[dict[str, str]] | None = None
    ) -> Any:
        """CreateInstanceProfile; moto checks the tags of roles only."""
        self._tag_verification(tags or [])
        return self._identified(super().create_instance_profile(name, path, role_names, tags), "AIPA")

    def _identified(self, entity: Any, prefix: str) -> Any:
        entity.id = self._new_id(prefix)
        return entity

    def _new_id(self, prefix: str) -> str:
        return generate_access_key_id_from_account_id(self.account_id, prefix, 21)


def _check_version(document: str) -> None:
    try:
        current = json.loads(document).get("Version") == "2012-10-17"
    except (ValueError, AttributeError):  # no JSON, or no object: the validator's words
        return
    if not current:
        raise MalformedPolicyDocument("Policy document must be version 2012-10-17 or greater.")
