# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§4, §11: what the group did lately: instance refreshes, launches that failed, boots that were given up."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Activity
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch_failures import cause

RECENT_SECONDS = 86400.0
#: https://repost.aws/knowledge-center/lifecycle-actions-code-deploy: the status reason of a launch whose hook ended so.
ABANDONED = re.compile(r"Lifecycle Action with token \S+ was abandoned", re.IGNORECASE)


def _launches_since_a_successful_one(view: View) -> Iterator[Activity]:
    """The finished launches of the last day that no successful one followed, newest first."""
    launches = (activity for activity in view.activities if activity.description.startswith("Launching"))
    finished = (launch for launch in launches if launch.ended or launch.status == "Failed")
    since = itertools.takewhile(lambda launch: launch.status != "Successful", finished)
    return (launch for launch in since if view.now - launch.started < RECENT_SECONDS)


def failed_launches(view: View) -> list[Activity]:
    """The launches of the last day that failed and that no successful one followed, newest first."""
    return [
        launch
        for launch in _launches_since_a_successful_one(view)
        if launch.status == "Failed" and not ABANDONED.search(launch.message)
    ]


@check("boots", 11)
def _boots(view: View) -> Passed:
    """No instance of the last day was given up while it booted, without one after it whose worker registered."""
    given_up = [launch for launch in _launches_since_a_successful_one(view) if ABANDONED.search(launch.message)]
    if not given_up:
        return Passed("none was given up")
    last = given_up[0]
    silent = "timeout" in last.message.lower() or "timed out" in last.message.lower()
    why = "no agent completed its launch hook" if silent else "its agent gave up"
    logs = f"logs get-log-events --log-group-name {view.settings['fleet_log_group_name']} --limit 20 --log-stream-name"
    raise Failed(
        f"{count(len(given_up), 'instance')} given up while booting, the last ({last.instance or 'unknown'}) "
        f"{duration(view.now - last.started)} ago: {why}. The group launches three an hour at most until one boots.",
        view.aws(
            "Its logs say why, as far as they were shipped; on an instance that still boots, `ghosthands-agent doctor` "
            "does. Remove the reason: instances that still boot go on by themselves within a minute.",
            *(f"{logs} {last.instance}{stream}" for stream in ("-journal", "") if last.instance),
        ),
        instances=[launch.instance for launch in given_up],
    )


@check("activities", 4)
def _activities(view: View) -> str:
    """No launch failed in the last day without a successful one after it."""
    if failed := failed_launches(view):
        message = failed[0].message or "no reason"
        known = cause(failed[0].message)
        if known and any(check.id == known.check and not check.finding(view).ok for check in CHECKS):
            raise Skipped(f"launches fail, and {known.check} says why")
        launches = f"{len(failed)} launch{'' if len(failed) == 1 else 'es'}"
        means = f"{known.means}: {message}" if known else message
        raise Failed(
            f"{launches} failed, the last {duration(view.now - failed[0].started)} ago: {means}",
            known.remedy
            if known
            else "Look that message up: AWS's guide lists them under troubleshooting Amazon EC2 Auto Scaling.",
            messages=sorted({activity.message for activity in failed}),
            cause=known.means if known else "",
        )
    last = view.activities[0] if view.activities else None
    return (
        f"the last, {duration(view.now - last.started)} ago: {last.description or last.status}" if last else "none yet"
    )


@check("refresh", 4, "warning")
def _refresh(view: View) -> Passed:
    """The last instance refresh did not fail, and one that is under way can end.

    It replaces nothing while Launch or Terminate is suspended (EC2 Auto Scaling's user guide, "How suspended processes
    affect other processes").
    """
    last = max(view.refreshes, key=lambda refresh: refresh.started, default=None)
    if last is None:
        return Passed("none yet")
    if last.status in ("Failed", "RollbackFailed"):
        failed = "failed" if last.status == "Failed" else "could not be rolled back"
        again = "When the reason is gone, start it again:"
        raise Failed(
            f"The last instance refresh {failed} at {last.percent} %: {last.reason or 'AWS gives no reason'}.",
            view.roll_out(text=again) if last.version or view.rollout else view.replace_instances(again),
            refresh=last.id,
            reason=last.reason,
        )
    if view.refreshing and (stopped := view.stops_refreshes):
        raise Failed(
            f"An instance refresh is under way at {last.percent} % and cannot go on: "
            f"{' and '.join(stopped)} {'are' if len(stopped) > 1 else 'is'} suspended.",
            view.resume(stopped),
            refresh=last.id,
            suspended=stopped,
        )
    return Passed(f"the last: {last.status}, {last.percent} %", {"refresh": last.id, "status": last.status})
