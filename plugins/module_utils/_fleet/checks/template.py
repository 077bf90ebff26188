# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§2, §3, §7, §8: the version of the launch template that the group uses, its image, its doors, and what it tells the agent."""

from __future__ import annotations

from datetime import UTC, datetime

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.preflight import AGENT_SCHEMA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    NotLookedAt,
    View,
    Wrong,
    check,
    span,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import DEFAULTS

BOOK = "launch_template.yml"
BAKE = "Bake one (`make image`), then: "


def _anew(v: View, *options: str) -> str:
    """A new version of the template, and the group on it."""
    return v.play("site.yml", *options)


def moment(text: str) -> float:
    """Seconds since the epoch of EC2's ISO 8601; 0 where it is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


@check("image-exists", 2)
def _image(v: View) -> str:
    wanted = v.template.image
    if wanted not in v.images:
        raise Wrong(
            f"Image {wanted or '(none)'} of launch template version {v.template.number} is gone: no instance can launch.",
            _anew(v, "-e fleet_image=newest") + " (bake one first where there is none: `make image`).",
            image=wanted,
        )
    if (state := v.images[wanted].state) != "available":
        raise Wrong(
            f"Image {wanted} is {state}: no instance can launch.", _anew(v, "-e fleet_image=newest"), image=wanted
        )
    return f"{wanted} ({v.images[wanted].name})"


@check("image-origin", 2, "warning")
def _origin(v: View) -> str:
    if v.image.agent_schema is None:
        raise Wrong(
            f"Image {v.image.id} ({v.image.name}) was not baked by this kit: nothing says that it has an agent.",
            BAKE + _anew(v, "-e fleet_image=newest"),
        )
    return "baked by this kit"


@check("image-schema", 2)
def _schema(v: View) -> str:
    found = v.image.agent_schema
    if found is None:
        raise NotLookedAt("the image does not say which agent.conf it reads")
    if found != AGENT_SCHEMA:
        raise Wrong(
            f"The agent in image {v.image.id} reads schema {found} of agent.conf, these playbooks write {AGENT_SCHEMA}.",
            BAKE + _anew(v, "-e fleet_image=newest"),
        )
    return f"schema {found}"


@check("image-age", 2, "warning")
def _age(v: View) -> str:
    age, most = v.now - moment(v.image.created), v.s["fleet_image_max_age_days"] * 86400
    if age > most:
        raise Wrong(
            f"Image {v.image.id} is {span(age)} old: that long without security updates.",
            BAKE + _anew(v, "-e fleet_image=newest"),
            seconds=int(age),
        )
    return f"{span(age)} old"


@check("image-deprecated", 2, "warning")
def _deprecated(v: View) -> str:
    at = v.image.deprecated
    if at and moment(at) <= v.now:
        raise Wrong(
            f"EC2 calls image {v.image.id} deprecated since {at}.", BAKE + _anew(v, "-e fleet_image=newest"), since=at
        )
    return f"from {at} on" if at else "never"


@check("template-exists", 3)
def _exists(v: View) -> str:
    if v.fleet.template is None:
        group = v.group  # without a group there is nothing that would launch
        raise Wrong(
            f"Launch template {group.template} has no version {group.version}: no instance can launch.", _anew(v)
        )
    return f"version {v.template.number} of {v.template.latest}"


@check("template-metadata", 3)
def _metadata(v: View) -> str:
    if v.template.tokens != "required":
        raise Wrong(
            "Instances answer IMDSv1: whoever gets a worker to fetch a page gets the role's credentials.", _anew(v)
        )
    return "IMDSv2 only"


@check("template-volumes", 3)
def _volumes(v: View) -> str:
    if v.template.unencrypted:
        raise Wrong(f"Volumes are not encrypted: {', '.join(v.template.unencrypted)}.", _anew(v))
    return "encrypted"


@check("template-profile", 3)
def _profile(v: View) -> str:
    found, wanted = v.template.profile, v.s["fleet_instance_profile_name"]
    if found != wanted:
        raise Wrong(
            f"Instances carry {found or 'no instance profile'}, not {wanted}: their agents can call nothing.",
            _anew(v),
            found=found,
        )
    return found


@check("template-key", 3)
def _key(v: View) -> str:
    name = v.template.key
    if name and name not in v.key_pairs:
        raise Wrong(
            f"Key pair {name} of the launch template is gone: no instance can launch.",
            "Give the public key in fleet_key_public to import it, or set fleet_key_name to ''; then: " + _anew(v),
            key=name,
        )
    return name or "none"


@check("security-group", 7)
def _security_group(v: View) -> str:
    wanted, found = v.s["fleet_security_group_name"], v.security_groups
    if gone := set(v.template.security_groups) - found.keys():
        raise Wrong(
            f"Security group {', '.join(sorted(gone))} of the launch template is gone: no instance can launch.",
            _anew(v),
        )
    names = sorted(g.name for g in found.values())
    if names != [wanted]:
        raise Wrong(
            f"Instances are in {', '.join(names) or 'no security group'}, not in {wanted} alone.", _anew(v), found=names
        )
    return str(wanted)


@check("security-group-open", 7)
def _open(v: View) -> str:
    doors = {g.name: list(g.open) for g in v.security_groups.values() if g.open}
    if doors:
        said = "; ".join(f"{name}: {', '.join(ports)}" for name, ports in sorted(doors.items()))
        raise Wrong(f"Open to the whole world: {said}.", v.play("security_group.yml"), open=doors)
    return "closed to the world"


@check("agent-conf", 8)
def _conf(v: View) -> str:
    t = v.template
    if t.agent_problem:
        raise Wrong(f"Instances boot no worker: {t.agent_problem}.", _anew(v))
    if (schema := t.agent.get("SCHEMA")) != AGENT_SCHEMA:
        raise Wrong(
            f"agent.conf has schema {schema or '(none)'}, not {AGENT_SCHEMA}: every agent refuses it.", _anew(v)
        )
    if missing := [
        key for key in ("REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID", "IMAGE") if not t.agent.get(key)
    ]:
        raise Wrong(f"agent.conf lacks {', '.join(missing)}: every agent refuses it.", _anew(v), missing=missing)
    return f"{len(t.agent)} keys"


def _tells(v: View, key: str, wanted: str, means: str) -> str:
    """What stands there, or what the agent takes for it; a required key that is missing is agent-conf's."""
    found = v.told.get(key, "") or str(DEFAULTS.get(key) or "")
    if found and found != wanted:
        raise Wrong(
            f"Agents are told {key}={found}, wanted is {wanted}: {means}.", _anew(v), found=found, wanted=wanted
        )
    return found or wanted


@check("agent-hook", 8)
def _hook(v: View) -> str:
    return _tells(v, "TERMINATION_HOOK", v.s["fleet_termination_hook_name"], "no drain would ever be completed")


@check("agent-group", 8)
def _group(v: View) -> str:
    return _tells(v, "GROUP", v.group.name, "no drain would ever be completed")


@check("agent-heartbeat", 8)
def _heartbeat(v: View) -> str:
    wanted = v.s["fleet_termination_hook_timeout"]
    return _tells(v, "HEARTBEAT_TIMEOUT_SECONDS", str(wanted), "the hook may run out between two beats") + " s"


@check("agent-secret", 8)
def _secret(v: View) -> str:
    return _tells(v, "SECRET_ID", v.s["fleet_secret_name"], "workers boot with another environment, or not at all")


@check("agent-region", 8)
def _region(v: View) -> str:
    return _tells(v, "REGION", v.s["fleet_region"], "agents look for the group where it is not")


@check("agent-drain-policy", 8)
def _drain_policy(v: View) -> str:
    return _tells(v, "DRAIN_POLICY", v.s["fleet_drain_policy"], "jobs would end in another way than the operator chose")
