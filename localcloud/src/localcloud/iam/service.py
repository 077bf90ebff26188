"""IAM: moto's, with those of AWS's managed policies that a worker fleet attaches."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, cast

from moto.core.responses import ActionResult, EmptyResult
from moto.iam import urls
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import DeleteConflictException, InvalidInput, NotFoundException
from moto.iam.models import AWSManagedPolicy, IAMBackend, ManagedPolicy, Role
from moto.iam.responses import IamResponse

from localcloud import seed
from localcloud.iam import simulation
from localcloud.iam.policies import ALLOW_ALL, Malformed, Policies, Policy, parse
from localcloud.iam.principals import policies_of, principal_keys


@cache
def _documents() -> dict[str, dict[str, Any]]:
    """The seeded policies out of moto's thousand, read once."""
    everything = json.loads(aws_managed_policies_data)
    return {name: everything[name] for name in seed.MANAGED_POLICIES}


class Iam(IamResponse):
    """IAM's actions, with those that moto lacks: what deleting a user needs, and a user's permissions boundary."""

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
        own = policies_of(entity, backend)
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
        results = simulation.simulated(
            self._get_param("ActionNames"), self._get_param("ResourceArns") or ["*"], policies, context
        )
        start, most = int(self._get_param("Marker") or 0), int(self._get_param("MaxItems") or 100)
        left = {"Marker": str(start + most)} if len(results) > start + most else {}
        return ActionResult({"EvaluationResults": results[start : start + most], "IsTruncated": bool(left), **left})


class IamBackend(IAMBackend):
    """IAM of one account."""

    _url_module = urls

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

    def put_role_permissions_boundary(self, role_name: str, permissions_boundary: str) -> None:
        """PutRolePermissionsBoundary; likewise."""
        self.check_boundary(permissions_boundary)
        super().put_role_permissions_boundary(role_name, permissions_boundary)

    def check_boundary(self, arn: str | None) -> None:
        """Refuse a boundary that does not exist."""
        if arn and self.policy_arn_regex.match(arn) and arn not in self.managed_policies:
            raise NotFoundException(f"Scope ARN: {arn} does not exist or is not attachable.")

    def _init_aws_policies(self) -> list[ManagedPolicy]:
        return [
            AWSManagedPolicy.from_data(name, self.account_id, self.region_name, data)
            for name, data in _documents().items()
        ]
