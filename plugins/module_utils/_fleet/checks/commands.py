# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§11, commands in place: what operators want of instances, and what agents have answered."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import Told
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of

PLAYBOOKS = {"hold": "pause.yml", "resume": "resume.yml", "renew": "renew.yml", "release": "release.yml"}
MOST_NAMED = 20  # in a command line


def _told(view: View) -> dict[str, Told]:
    """What the group's instances were told, but those that drain or boot."""
    ids = [one.id for one in view.group.in_state("InService", "Standby")]
    return {id: view.instances[id].told for id in ids if id in view.instances}


@check("fleet-paused", 11, "warning")
def _paused(view: View) -> str:
    """No pause of the fleet is on: its workers take jobs, and the group launches instances."""
    if view.group.paused:
        held = [id for id, told in _told(view).items() if told.held]
        raise Failed(
            f"The fleet is paused: {len(held)} of {len(view.group.instances)} instances held, and nothing is launched.",
            view.run("resume.yml", text="To end the pause:"),
            held=held,
        )
    return "not paused"


@check("instances-held", 11, "warning")
def _held(view: View) -> str:
    """No single instance is held: it takes no jobs, and VALET counts it as capacity all the same."""
    if view.group.paused:
        raise Skipped("the whole fleet is paused, which fleet-paused reports")
    if held := sorted(id for id, told in _told(view).items() if told.held):
        raise Failed(
            f"{count(len(held), 'instance')} held: {first_of(held)}. They take no jobs until they are resumed or end.",
            view.run("resume.yml", "-e", f"fleet_instances={','.join(held[:MOST_NAMED])}", text="Resume them:"),
            instances=held,
        )
    return "none"


@check("command-ended", 11, "warning")
def _ended(view: View) -> str:
    """No renewal or release of the whole fleet was interrupted."""
    if (wish := view.group.command) is not None:
        image = f"@{wish.digest}" if wish.digest else ""
        options = ("-e", f"fleet_worker_image={image}") if image else ()
        raise Failed(
            f"{wish.text} is under way, or it was interrupted.",
            view.run(
                PLAYBOOKS[wish.verb], *options, text="If nobody runs it, this goes on with it (resume.yml gives it up):"
            ),
            command=wish.text,
        )
    return "none under way"


@check("wishes-answered", 11, "warning")
def _answered(view: View) -> str:
    """Every instance that was told something has answered; its agent does so within 5 s."""
    running = {id: told for id, told in _told(view).items() if view.instances[id].state == "running"}
    if silent := sorted(id for id, told in running.items() if told.unanswered):
        blind = [id for id in silent if not view.instances[id].shows_tags]
        why = f" {len(blind)} of them have no tags in their metadata." if blind else ""
        raise Failed(
            f"{count(len(silent), 'instance')} told and without an answer: {first_of(silent)}.{why}",
            "See whether the agent runs, on the instance: systemctl status ghosthands-watch; ghosthands-agent doctor. "
            "What was launched without tags in its metadata needs a rollout.",
            instances={id: wish.text for id in silent if (wish := view.instances[id].told.wish)},
        )
    return "all have"


@check("wishes-fulfilled", 11)
def _fulfilled(view: View) -> str:
    """No renewal or release has failed on an instance. Its former worker runs on, with the former secret or image."""
    if failed := {id: told for id, told in sorted(_told(view).items()) if told.state == "failed"}:
        reasons = {id: told.answer.reason for id, told in failed.items() if told.answer}
        first = next(iter(failed))
        wish = failed[first].wish
        again = view.run(PLAYBOOKS[wish.verb], text="See what the reason says, then repeat it:") if wish else ""
        raise Failed(
            f"{wish.verb if wish else 'a wish'} failed on {count(len(failed), 'instance')}: "
            + "; ".join(f"{id}: {reason or 'its journal says why'}" for id, reason in list(reasons.items())[:5])
            + ".",
            again,
            instances=reasons,
        )
    return "none has failed"


@check("instances-image", 11, "warning")
def _image(view: View) -> str:
    """No host has another released worker image than new instances get."""
    image = view.agent_conf.get("IMAGE", "")
    named = image.partition("@")[2]
    resolved = view.fleet.worker_image
    new = named or (resolved if isinstance(resolved, str) else "")
    if isinstance(resolved, Unread) and not named:
        raise Skipped("the digest of the template's image could not be read")
    others = {
        id: told.wish.digest
        for id, told in sorted(_told(view).items())
        if told.wish and told.wish.verb == "release" and told.state == "done" and told.wish.digest != new
    }
    if others:
        raise Failed(
            f"{count(len(others), 'host')} with another worker image than new instances get: {first_of(others)}.",
            view.run(
                "release.yml", "-e", f"fleet_worker_image=@{new}", text="To give every host what new instances get:"
            ),
            instances=others,
            template=new,
        )
    return f"new instances get {image or 'none'}"
