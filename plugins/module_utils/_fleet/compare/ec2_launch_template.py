# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.ec2_launch_template with source_version: "": the next version has the stated parameters only.

The module creates a version when the latest one is not exactly what it would write. What the latest version has beyond
the stated parameters therefore counts too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import (
    Comparison,
    Difference,
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


#: EC2 API, CreateLaunchTemplateVersion, VersionDescription.
LONGEST_DESCRIPTION = 255
FIRST_VERSION = "the first version"
_CONF_LINE = re.compile(r"^\s*([A-Z][A-Z_]*)=(.*)$", re.MULTILINE)


def version_description(found: Mapping[str, Any] | None, difference: Difference | None) -> str:
    """What the next version changes, in one line; without a change of a version, what its latest version says.

    The module makes a version for another description alone, so that it gets that one again.

    :param found: the template, None where there is none yet.
    :param difference: what the module would change of it.
    """
    if found is None:
        return FIRST_VERSION
    before, after = difference or ({}, {})
    names = sorted((before.keys() | after.keys()) - {"tags", "default_version"})
    if not names:
        return str(found["Latest"].get("VersionDescription", ""))
    text = "; ".join(part for name in names for part in _changed(before.get(name), after.get(name), name))
    return text if len(text) <= LONGEST_DESCRIPTION else f"{text[: LONGEST_DESCRIPTION - 3]}..."


def _changed(before: Any, after: Any, name: str) -> Iterator[str]:
    """Each value that changes, by its own name."""
    if name == "user_data":
        before, after = (dict(_CONF_LINE.findall(text or "")) or text for text in (before, after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            yield from _changed(before.get(key), after.get(key), str(key))
    elif isinstance(before, list) and isinstance(after, list):
        for one, other in zip_longest(before, after):
            yield from _changed(one, other, name)
    elif before != after:
        values = [_short(value) for value in (before, after)]
        yield f"{name} {' -> '.join(values)}" if all(values) else name


def _short(value: Any) -> str:
    """A value in a few letters; empty where it takes more."""
    if isinstance(value, (Mapping, list)):
        return ""
    text = "none" if value in (None, "") else str(value)
    path, _at, digest = text.partition("@sha256:")
    text = f"{path.rpartition('/')[2]}@{digest[:12]}" if digest else text
    return text if len(text) <= 60 and "\n" not in text else ""


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
        "version_description": None,  # says what changed, which is no change by itself
        "default_version": Meaning(str, _default_version),
        "tags": TAGS,
        **{name: meaning for name, (_key, meaning) in DATA.items()},
    },
    unstated=_unstated,
    outputs=_outputs,
)
