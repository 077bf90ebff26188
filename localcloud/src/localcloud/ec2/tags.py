"""Tags of EC2's resources: AWS's limits, and when an instance's metadata shows a change of its tags.

Pages: EC2 User Guide, "Tag your Amazon EC2 resources" (UT), "View tags for your EC2 instances using instance metadata"
(IMT); EC2 API, CreateTags, DeleteTags, Tag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.exceptions import EC2ClientError, TagLimitExceeded
from moto.ec2.models.instance_types import INSTANCE_TYPES

#: A tag's key at the metadata service (IMT).
METADATA_TAG = re.compile(r"(?!\.{1,2}$|_index$)[0-9a-zA-Z\-_+=,.@:]{1,255}")
#: API, CreateTags: "Up to 1000 resource IDs". UT, "Tag restrictions": 50 tags, those of AWS's not counted. API, Tag:
#: a key has 127 characters at most, a value 256.
RESOURCES, TAGS, KEY_CHARACTERS, VALUE_CHARACTERS = 1000, 50, 127, 256


def check_metadata_keys(keys: Iterable[str]) -> None:
    """Refuse keys that the metadata service cannot show: "failed launches ... or an error for existing instances"."""
    for key in keys:
        if not METADATA_TAG.fullmatch(key):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), "
                "and must not be a reserved name ('.', '..', '_index')",
            )


def is_nitro(instance_type: str) -> bool:
    """Whether instances of a type are built on the Nitro System (API, InstanceTypeInfo, Hypervisor)."""
    return str(INSTANCE_TYPES.get(instance_type, {}).get("Hypervisor", "nitro")) == "nitro"


class TagBackend:
    """When the metadata of instances shows changes of their tags."""

    cloud: Any
    tags: Any
    instances_by_id: dict[str, Any]
    #: By instance: until when its metadata shows which tags, in the order of the changes.
    earlier_tags: dict[str, list[tuple[float, dict[str, str]]]]

    def create_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """Create or overwrite tags."""
        self._keep_earlier(resource_ids)
        return bool(super().create_tags(resource_ids, tags))  # type: ignore[misc]

    def delete_tags(self, resource_ids: list[str], tags: dict[str, str]) -> bool:
        """Delete tags."""
        self._keep_earlier(resource_ids)
        return bool(super().delete_tags(resource_ids, tags))  # type: ignore[misc]

    def shown_tags(self, instance: Any) -> dict[str, str]:
        """The tags that the instance's metadata shows now."""
        now = self.cloud.clock.now()
        changes = self.earlier_tags.get(instance.id, ())
        return next((before for until, before in changes if now < until), dict(self.tags.get(instance.id, {})))

    def show_all_tags(self, instance_id: str) -> None:
        """The instance starts: its metadata shows its tags as they are."""
        self.earlier_tags.pop(instance_id, None)

    def _keep_earlier(self, resource_ids: list[str]) -> None:
        now, longest = self.cloud.clock.now(), self.cloud.strictness.metadata_tags_seconds
        for id in resource_ids:
            instance = self.instances_by_id.get(id)  # not those that are being made, with their tags
            if instance is None or instance.state in ("pending", "stopped"):
                continue
            until = now + self.cloud.delay(longest) if is_nitro(instance.instance_type) else math.inf
            if until > now:
                changes = [each for each in self.earlier_tags.get(id, []) if now < each[0]]
                self.earlier_tags[id] = [*changes, (until, dict(self.tags.get(id, {})))]


class TagResponse(BaseResponse):
    """The actions on tags, with AWS's limits."""

    ec2_backend: Any

    def create_tags(self) -> ActionResult:
        """CreateTags: all of it or nothing."""
        tags = {tag["Key"]: tag.get("Value", "") for tag in self._get_param("Tags", [])}
        self._check(tags)
        for id in self._get_param("Resources", []):
            self._check_of(id, tags)
        return super().create_tags()  # type: ignore[misc, no-any-return]

    def delete_tags(self) -> ActionResult:
        """DeleteTags."""
        self._check({tag["Key"]: tag.get("Value") or "" for tag in self._get_param("Tags", [])})
        return super().delete_tags()  # type: ignore[misc, no-any-return]

    def _check(self, tags: Mapping[str, str]) -> None:
        if len(self._get_param("Resources", [])) > RESOURCES:
            raise EC2ClientError("InvalidParameterValue", f"The request names more than {RESOURCES} resources")
        for key, value in tags.items():
            if key.lower().startswith("aws:"):
                raise EC2ClientError(
                    "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"
                )
            if not 1 <= len(key) <= KEY_CHARACTERS:
                raise EC2ClientError("InvalidParameterValue", f"Tag key exceeds the maximum length of {KEY_CHARACTERS}")
            if len(value) > VALUE_CHARACTERS:
                raise EC2ClientError(
                    "InvalidParameterValue", f"Tag value exceeds the maximum length of {VALUE_CHARACTERS} characters"
                )

    def _check_of(self, id: str, tags: Mapping[str, str]) -> None:
        own = {key for key in {*self.ec2_backend.tags.get(id, {}), *tags} if not key.startswith("aws:")}
        if len(own) > TAGS:
            raise TagLimitExceeded()
        instance = self.ec2_backend.get_instance_by_id(id) if id.startswith("i-") else None
        if instance is not None and instance.metadata_options.instance_metadata_tags == "enabled":
            check_metadata_keys(tags)
