# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§4: what the group did lately: instance refreshes, and launches that failed."""

from __future__ import annotations

import itertools

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Activity
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch_failures import cause

RECENT_SECONDS = 86400.0


def failed_launches(view: View) -> list[Activity]:
    """The launches of the last day that failed and that no successful one followed, newest first."""
    launches = (activity for activity in view.activities if activity.description.startswith("Launching"))
    finished = (launch for launch in launches if launch.ended or launch.status == "Failed")
    since = itertools.takewhile(lambda launch: launch.status != "Successful", finished)
    return [a for a in since if a.status == "Failed" and view.now - a.started < RECENT_SECONDS]


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
        raise Failed(
            f"The last instance refresh {failed} at {last.percent} %: {last.reason or 'AWS gives no reason'}.",
            view.start_refresh("When the reason is gone, start it again:"),
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
