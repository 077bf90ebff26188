# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a report. The page is rendered here, on the controller: module_utils may not need Jinja2."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report import outcome, page
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.json_document import to_json
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.junit import to_junit
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened, visible
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(page.__file__).parent


def documents(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> dict[str, str]:
    """The three files of a report by name, each to be written as UTF-8.

    Raises ValueError or TypeError for values that JSON does not have.
    """
    return {
        "report.json": to_json(fleet, findings),
        "report.xml": to_junit(fleet, findings),
        "report.html": to_html(fleet, findings),
    }


def to_html(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """One page that needs nothing but itself, and runs no script. Everything is escaped by the template engine."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_visible,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(shortened=shortened, duration=duration, evidence=page.evidence)
    environment.globals.update(count=count, heading=outcome.heading, words=page.WORDS, titles=page.TITLES, few=page.FEW)
    environment.globals.update(most_instances=page.INSTANCES)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = environment.get_template("page.html.j2")
    return template.render(page.context(fleet, findings), style=Markup(style), style_hash=f"sha256-{digest}")


def _visible(value: object) -> object:
    """An expression's value before it is escaped. None is empty."""
    if isinstance(value, Markup):
        return value
    return "" if value is None else visible(value)
