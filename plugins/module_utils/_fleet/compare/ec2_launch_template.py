# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.ec2_launch_template with source_version: "": the next version has the stated parameters only.

The module creates a version when the latest one is not exactly what it would write. What the latest version has beyond
the stated parameters therefore counts too.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import (
    Comparison,
    Meaning,
    Parameters,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS, camel, tag_map

METADATA_DEFAULTS = {  # what the module sends where a task states nothing
    "HttpEndpoint": "enabled",
    "HttpPutResponseHopLimit": 1,
    "HttpTokens": "optional",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}


def _bare(found: Any) -> Any:
    """A part of the template without what AWS may add to it: empty values, and the state of the metadata options."""
    if isinstance(found, Mapping):
        bare = {key: _bare(value) for key, value in found.items() if key != "State"}
        return {key: value for key, value in bare.items() if value not in (None, "", [], {})}
    return [_bare(value) for value in found] if isinstance(found, list) else found


def _data(key: str, desired: Any = camel, actual: Any = _bare) -> Meaning:
    return Meaning(desired, lambda raw, p: actual(raw["Latest"]["LaunchTemplateData"].get(key)))


def _profile(found: Mapping[str, str] | None) -> str:
    return (found or {}).get("Arn", "").partition(":instance-profile/")[2]


def _text(found: str | None) -> str:
    return base64.b64decode(found or "").decode(errors="backslashreplace")


def _default_version(raw: Mapping[str, Any], _p: Parameters) -> str:
    return (
        "latest" if raw["DefaultVersionNumber"] == raw["Latest"]["VersionNumber"] else str(raw["DefaultVersionNumber"])
    )


DATA = {  # parameter -> the key of LaunchTemplateData, and its meaning
    "image_id": ("ImageId", _data("ImageId")),
    "instance_type": ("InstanceType", _data("InstanceType")),
    "credit_specification": ("CreditSpecification", _data("CreditSpecification")),
    "key_name": ("KeyName", _data("KeyName")),
    "network_interfaces": ("NetworkInterfaces", _data("NetworkInterfaces")),
    "block_device_mappings": ("BlockDeviceMappings", _data("BlockDeviceMappings")),
    "iam_instance_profile": ("IamInstanceProfile", _data("IamInstanceProfile", str, _profile)),
    "metadata_options": (
        "MetadataOptions",
        _data("MetadataOptions", lambda value: {**METADATA_DEFAULTS, **camel(value)}),
    ),
    "tag_specifications": (
        "TagSpecifications",
        _data(
            "TagSpecifications",
            lambda value: [[t["resource_type"], dict(t["tags"])] for t in value],
            lambda found: [[t["ResourceType"], tag_map(t["Tags"])] for t in found or []],
        ),
    ),
    "user_data": ("UserData", _data("UserData", _text, _text)),
}


def _unstated(raw: Mapping[str, Any], p: Parameters) -> Mapping[str, Any]:
    stated = {key for name, (key, _meaning) in DATA.items() if name in p}
    return {key: value for key, value in raw["Latest"]["LaunchTemplateData"].items() if key not in stated}


def _outputs(raw: Mapping[str, Any], differs: frozenset[str]) -> Mapping[str, Any]:
    new = bool(differs - {"tags", "default_version"})
    return {
        "template": {"launch_template_id": raw["LaunchTemplateId"]},
        "latest_version": raw["Latest"]["VersionNumber"] + new,
    }


COMPARISON = Comparison(
    {
        "template_name": None,
        "source_version": None,
        "purge_tags": None,
        "version_description": Meaning(str, lambda raw, p: raw["Latest"].get("VersionDescription", "")),
        "default_version": Meaning(str, _default_version),
        "tags": TAGS,
        **{name: meaning for name, (_key, meaning) in DATA.items()},
    },
    unstated=_unstated,
    outputs=_outputs,
)
