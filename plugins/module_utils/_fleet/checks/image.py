# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§2: the image of the launch template."""

from __future__ import annotations

from datetime import UTC, datetime

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration


def newest(view: View) -> Remedy:
    """A remedy: bake an image, and replace the instances by ones of it."""
    return view.roll_out(text="Bake one (make image), then run")


def newest_at_once(view: View) -> Remedy:
    """A remedy: bake an image, and launch from it."""
    return view.use_at_once("-e fleet_image=newest", text="Bake one (make image), then run")


def timestamp(text: str) -> float:
    """Seconds since the epoch of EC2's ISO 8601. 0 where it is not such a text."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


@check("image-exists", 2)
def _exists(view: View) -> str:
    """The launch template's image exists and is available."""
    id = view.template.image
    if id not in view.images:
        raise Failed(
            f"Image {id or '(none)'} of launch template version {view.template.version} does not exist: "
            "no instance can launch.",
            view.roll_out(text="Bake one (make image) if there is no other, then run"),
            image=id,
        )
    image = view.images[id]
    if image.state != "available":
        raise Failed(
            f"Image {id} is {image.state}: no instance can launch.",
            view.roll_out(),
            image=id,
        )
    return f"{id} ({image.name})"


@check("image-origin", 2, "warning")
def _origin(view: View) -> str:
    """The image was baked by this kit, so it has an agent."""
    has_agent = view.image.has_agent(view.account)
    if has_agent is None:
        raise Skipped(f"account {view.image.owner} has the image's tags, and shows them to nobody else")
    if not has_agent:
        raise Failed(
            f"Image {view.image.id} ({view.image.name}) was not baked by this kit: nothing says that it has an agent.",
            newest_at_once(view),
        )
    return "baked by this kit"


@check("image-owner", 2)
def _owner(view: View) -> str:
    """The image is this account's, or one that fleet_image names, or one of fleet_trusted_account_ids."""
    image = view.image
    if image.owner == view.account or image.is_trusted(view.settings):
        return image.owner
    raise Failed(
        f"Image {image.id} ({image.name}) belongs to account {image.owner}, and neither fleet_image names it nor "
        "fleet_trusted_account_ids its owner: instances run somebody else's system.",
        newest_at_once(view),
        owner=image.owner,
    )


@check("image-public", 2)
def _public(view: View) -> str:
    """The image is not public, where it is this account's."""
    image = view.image
    if image.owner != view.fleet.account:
        raise Skipped("another account's image, which decides on it")
    if image.public:
        raise Failed(
            f"Every AWS account may launch {image.id} ({image.name}) and read its disk.",
            view.aws(
                "Make it private:",
                f"ec2 modify-image-attribute --launch-permission Remove=[{{Group=all}}] --image-id {image.id}",
            ),
        )
    return "private"


@check("image-schema", 2)
def _schema(view: View) -> str:
    """The image's agent reads the schema of agent.conf that these playbooks write."""
    found = view.image.agent_schema
    if found is None:
        raise Skipped("the image does not say which agent.conf it reads")
    if found != agent_conf.SCHEMA:
        raise Failed(
            f"The agent in image {view.image.id} reads schema {found} of agent.conf, "
            f"these playbooks write {agent_conf.SCHEMA}.",
            newest(view),
        )
    return f"schema {found}"


@check("image-age", 2, "warning")
def _age(view: View) -> str:
    """The image is not older than fleet_image_max_age_days."""
    age, most = view.now - timestamp(view.image.created), view.settings["fleet_image_max_age_days"] * 86400
    if age > most:
        raise Failed(
            f"Image {view.image.id} is {duration(age)} old: that long without security updates.",
            newest(view),
            seconds=int(age),
        )
    return f"{duration(age)} old"


@check("image-deprecated", 2, "warning")
def _deprecated(view: View) -> str:
    """EC2 does not call the image deprecated."""
    since = view.image.deprecated
    if since and timestamp(since) <= view.now:
        raise Failed(f"EC2 calls image {view.image.id} deprecated since {since}.", newest(view), since=since)
    return f"from {since} on" if since else "never"
