# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found about a fleet, as documents and as lines for a terminal. Pure: values in, text out.

A fleet is what `summary` returns: `{name, group, region, account, endpoint, at, template_version, image, desired, min, max,
hook_timeout_seconds, drain_limit_seconds, instances, drains, monthly_price}`, of JSON's types. What comes from AWS, a host
or the registry is not trusted: `text` makes it visible, and the page's template escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.json_document import to_json
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.junit import to_junit
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.page import to_html


def documents(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, str]:
    """The three files of a report by name, each to be written as UTF-8.

    Raises ValueError or TypeError where a value is none of JSON's.
    """
    return {
        "report.json": to_json(fleet, findings),
        "report.xml": to_junit(fleet, findings),
        "report.html": to_html(fleet, findings),
    }
