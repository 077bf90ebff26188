# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found about a fleet, as documents and as lines for a terminal. Pure: values in, text out.

A finding is `{id, section, severity: error|warning|info, ok, detail, remedy, evidence}`, its section one of the runbook's. A fleet is
`{name, group, region, account, endpoint, at, template_version, image, desired, min, max, hook_timeout_seconds, drain_limit_seconds,
instances, drains, monthly_price}`; both hold nothing but JSON's kinds of values. What came from AWS, from a host or from the registry
is taken for hostile everywhere: it is escaped by `markup` and `text`, and by nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.console import table
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.data import to_json
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.junit import to_junit
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.page import to_html
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.verdict import SECTIONS

__all__ = ["SECTIONS", "documents", "table", "to_html", "to_json", "to_junit"]


def documents(fleet: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The three files of a report by name, each to be written as UTF-8.

    Raises ValueError or TypeError where a value is none of JSON's.
    """
    return {
        "report.json": to_json(fleet, findings),
        "report.xml": to_junit(fleet, findings),
        "report.html": to_html(fleet, findings),
    }
