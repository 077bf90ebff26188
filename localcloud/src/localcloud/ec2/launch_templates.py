"""Launch templates as AWS answers them: SourceVersion, numbered versions with gaps, paging, tags apart from data."""

from __future__ import annotations

import re
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidLaunchTemplateNameAlreadyExistsError,
    InvalidLaunchTemplateVersionNotFound,
)
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.models.launch_templates import LaunchTemplateBackend as MotoBackend
from moto.ec2.utils import parse_user_data

from localcloud.ec2.instances import Cloud

#: AWS's words where a call for versions names no template and not only ``$Latest`` and ``$Default`` (moto's tests that
#: were verified on AWS).
NAMELESS = re.sub(
    r"'([^']*)'",
    "\u2018\\1\u2019",  # typographic quotes
    "To describe the launch template data for all your launch templates, for '--versions' specify '$Latest', "
    "'$Default', or both, and omit '--launch-template-id', '--launch-template-name', and version numbers. To "
    "describe the launch template data for a specific launch template, specify '--launch-template-id' or "
    "'--launch-template-name', and for '--versions' specify one or more of the following values: '$Latest', "
    "'$Default', or one or more version numbers.",
)
#: A template's name (EC2 API, CreateLaunchTemplate).
NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
#: AWS's page size for DescribeLaunchTemplates and DescribeLaunchTemplateVersions, at most.
PAGE = 200


class Template(LaunchTemplate):
    """A launch template whose versions keep their numbers when others are deleted."""

    def __init__(
        self, backend: MotoBackend, name: str, data: dict[str, Any], description: str, tags: dict[str, str]
    ) -> None:
        self.highest = 0
        #: When Auto Scaling knows of it.
        self.visible_at = 0.0
        super().__init__(backend, name, data, description, {"launch-template": tags})

    def create_version(self, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        """Append a version with the next number."""
        self.highest += 1
        version = LaunchTemplateVersion(self, self.highest, data, description)
        self.versions.append(version)
        return version

    def get_version(self, num: Any) -> LaunchTemplateVersion:
        """A version by number, ``$Latest`` or ``$Default``.

        Raises:
            InvalidLaunchTemplateVersionNotFound: there is none.
        """
        requested = str(num)
        if requested == "$Latest":
            return self.versions[-1]
        if requested == "$Default":
            requested = str(self.default_version_number)
        for version in self.versions:
            if str(version.number) == requested:
                return version
        raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=requested)

    def default_version(self) -> LaunchTemplateVersion:
        """The default version."""
        return self.get_version("$Default")


class LaunchTemplateBackend(MotoBackend):
    """Keeps ``Template`` values."""

    cloud: Cloud

    def create_launch_template(
        self, name: str, description: str, template_data: dict[str, Any], tag_spec: dict[str, Any]
    ) -> LaunchTemplate:
        """CreateLaunchTemplate."""
        if name in self.launch_template_name_to_ids:
            raise InvalidLaunchTemplateNameAlreadyExistsError()
        kind: Any = Template  # abstract only for CloudFormation's sake
        template: Template = kind(self, name, template_data, description, tag_spec.get("launch-template", {}))
        template.visible_at = self.cloud.clock.now() + self.cloud.delay(self.cloud.strictness.propagation_seconds / 5)
        self.launch_templates[template.id] = template
        self.launch_template_name_to_ids[name] = template.id
        self.launch_template_insert_order.append(template.id)
        return template

    def find_launch_template(self, name: str | None, id: str | None) -> Template:
        """The template of a call that names it one way or the other."""
        if name and id:
            raise EC2ClientError(
                "InvalidParameterCombination", "LaunchTemplateId and LaunchTemplateName cannot be specified together"
            )
        if not name and not id:
            raise EC2ClientError(
                "MissingParameter", "Either a LaunchTemplateId or a LaunchTemplateName must be specified"
            )
        template = self.get_launch_template_by_name(name) if name else self.get_launch_template(str(id))
        assert isinstance(template, Template)
        return template


class LaunchTemplateResponse(BaseResponse):
    """The launch template actions that moto answers wrongly or not at all."""

    ec2_backend: Any
    error_on_dryrun: Any
    _parse_tag_specification: Any
    _filters_from_querystring: Any

    def create_launch_template(self) -> ActionResult:
        """CreateLaunchTemplate: the tags belong to the template, not to its data."""
        self.error_on_dryrun()
        name = self._get_param("LaunchTemplateName")
        if not NAME.fullmatch(name or ""):
            raise EC2ClientError(
                "InvalidLaunchTemplateName.MalformedException",
                "Launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the "
                "following characters: - ( ) . / _.",
            )
        template = self.ec2_backend.create_launch_template(
            name,
            self._get_param("VersionDescription"),
            self._data(),
            self._parse_tag_specification(),
        )
        return ActionResult({"LaunchTemplate": self._described(template)})

    def create_launch_template_version(self) -> ActionResult:
        """CreateLaunchTemplateVersion: with a SourceVersion, the new data is laid over that version's."""
        self.error_on_dryrun()
        template = self._template()
        data = self._data()
        if source := self._get_param("SourceVersion"):
            data = {**template.get_version(source).data, **data}
        version = template.create_version(data, self._get_param("VersionDescription"))
        return ActionResult({"LaunchTemplateVersion": self._described_version(version)})

    def delete_launch_template(self) -> ActionResult:
        """DeleteLaunchTemplate, saying which name or id is unknown."""
        self.error_on_dryrun()
        template = self._template()
        answer = self._described(template)
        self.ec2_backend.delete_launch_template(template.name, None)
        return ActionResult({"LaunchTemplate": answer})

    def delete_launch_template_versions(self) -> ActionResult:
        """DeleteLaunchTemplateVersions: never the default version; numbers are not used again."""
        self.error_on_dryrun()
        template = self._template()
        done, failed = [], []
        for requested in self._get_param("Versions", []):
            row: dict[str, Any] = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name}
            if not str(requested).isdigit():
                raise EC2ClientError("InvalidParameterValue", f"Invalid launch template version number: {requested}")
            row["VersionNumber"] = int(requested)
            version = next((v for v in template.versions if v.number == int(requested)), None)
            if version is None:
                problem = {
                    "Code": "launchTemplateVersionDoesNotExist",
                    "Message": "The launch template version does not exist.",
                }
                failed.append({**row, "ResponseError": problem})
            elif template.is_default(version):
                raise EC2ClientError(
                    "InvalidLaunchTemplateId.VersionIsDefault",
                    "Could not delete the default version of a launch template",
                )
            else:
                template.versions.remove(version)
                done.append(row)
        return ActionResult(
            {
                "SuccessfullyDeletedLaunchTemplateVersions": done,
                "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
            }
        )

    def describe_launch_templates(self) -> ActionResult:
        """DescribeLaunchTemplates, paged."""
        self.error_on_dryrun()
        names, ids = self._get_param("LaunchTemplateNames", []), self._get_param("LaunchTemplateIds", [])
        for name in names:
            if name not in self.ec2_backend.launch_template_name_to_ids:
                raise EC2ClientError(
                    "InvalidLaunchTemplateName.NotFoundException",
                    "At least one of the launch templates specified in the request does not exist.",
                )
        for id in ids:
            self.ec2_backend.get_launch_template(id)
        found = self.ec2_backend.describe_launch_templates(
            template_names=names, template_ids=ids, filters=self._filters_from_querystring()
        )
        page, token = self._page(found)
        return ActionResult({"LaunchTemplates": [self._described(t) for t in page], "NextToken": token})

    def describe_launch_template_versions(self) -> ActionResult:
        """DescribeLaunchTemplateVersions: newest first, as AWS lists them, paged."""
        self.error_on_dryrun()
        name, id = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
        requested = self._get_param("Versions", [])
        if name or id:
            template = self.ec2_backend.find_launch_template(name, id)
            low, high = self._get_int_param("MinVersion", 0), self._get_int_param("MaxVersion", 0)
            found = [template.get_version(v) for v in requested] or [
                v for v in reversed(template.versions) if v.number >= low and (not high or v.number <= high)
            ]
        elif requested and set(requested) <= {"$Latest", "$Default"}:
            found = [t.get_version(v) for t in self.ec2_backend.launch_templates.values() for v in requested]
        else:
            raise EC2ClientError("InvalidParameterValue" if requested else "MissingParameter", NAMELESS)
        unique = list({(v.template.id, v.number): v for v in found}.values())
        page, token = self._page(unique)
        return ActionResult({"LaunchTemplateVersions": [self._described_version(v) for v in page], "NextToken": token})

    def modify_launch_template(self) -> ActionResult:
        """ModifyLaunchTemplate: sets the default version (on the wire: SetDefaultVersion)."""
        self.error_on_dryrun()
        if self._get_param("LaunchTemplateName") and self._get_param("LaunchTemplateId"):
            raise EC2ClientError(
                "InvalidParameterCombination",
                "Either provide launch template ID or launch template name to modify the template.",
            )
        template = self._template()
        if (requested := self._get_param("DefaultVersion")) is not None:
            try:
                template.default_version_number = template.get_version(requested).number
            except InvalidLaunchTemplateVersionNotFound as error:
                raise EC2ClientError(
                    "InvalidLaunchTemplateId.VersionNotFound",
                    f"The launch template version {requested} is not found for the specified launch template.",
                ) from error
        return ActionResult({"LaunchTemplate": self._described(template)})

    def _template(self) -> Template:
        named: Template = self.ec2_backend.find_launch_template(
            self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
        )
        return named

    def _data(self) -> dict[str, Any]:
        """LaunchTemplateData as AWS keeps it."""
        data = dict(self._get_param("LaunchTemplateData", {}))
        if "UserData" in data:
            data["UserData"] = parse_user_data(data["UserData"])
        return data

    def _author(self) -> str:
        return f"arn:{self.partition}:iam::{self.current_account}:root"

    def _described(self, template: Template) -> dict[str, Any]:
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "CreateTime": template.create_time,
            "CreatedBy": self._author(),
            "DefaultVersionNumber": template.default_version_number,
            "LatestVersionNumber": template.latest_version_number,
            "Tags": template.get_tags(),
        }

    def _described_version(self, version: LaunchTemplateVersion) -> dict[str, Any]:
        return {
            "LaunchTemplateId": version.template.id,
            "LaunchTemplateName": version.template.name,
            "VersionNumber": version.number,
            "VersionDescription": version.description,
            "CreateTime": version.create_time,
            "CreatedBy": self._author(),
            "DefaultVersion": version.template.is_default(version),
            "LaunchTemplateData": version.data,
        }

    def _page(self, items: list[Any]) -> tuple[list[Any], str | None]:
        """The page of items that this call asks for, and the token of the next; a token is an offset.

        Raises:
            EC2ClientError: ``InvalidParameterValue`` for a page size outside 1 to 200, ``InvalidNextToken``.
        """
        size, token = self._get_int_param("MaxResults", PAGE), self._get_param("NextToken", "0")
        if not 1 <= size <= PAGE:
            raise EC2ClientError("InvalidParameterValue", f"MaxResults must be between 1 and {PAGE}")
        if not token.isdigit():
            raise EC2ClientError("InvalidNextToken", "The token is invalid")
        start = int(token)
        return items[start : start + size], str(start + size) if start + size < len(items) else None
