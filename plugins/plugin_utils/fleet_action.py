# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fleet's actions share: the checked variables and the account. Runs on the controller."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import (
    ATTEMPTS,
    Account,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import settings as rules
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError

Vars = dict[str, Any]
TYPES = {
    "bool": "true or false",
    "dict": "a mapping (key: value)",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "str": "a string",
}
# In the order of Account's parameters.
CONNECTION = ("region", "endpoint_url", "profile", "access_key", "secret_key")


class FleetAction(ActionBase):
    """An action on one fleet."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def _begin(self, task_vars: Vars, options: Mapping[str, Any]) -> tuple[Vars, Vars, Vars]:
        """(all variables, the task's arguments, the fleet's settings). Fails with all problems of the settings."""
        known = dict(task_vars)
        spec = {
            "spec": {"type": "str", "default": "vars/fleet_spec.yml"},
            **{c: {"type": "str", "no_log": c == "secret_key"} for c in CONNECTION},
        }
        _valid, args = self.validate_argument_spec({**spec, **options})
        options_of_a_fleet = self._loader.load_from_file(str(Path(known["playbook_dir"]) / args["spec"]))[
            "argument_specs"
        ]["fleet"]["options"]
        settings = self._settings(known, options_of_a_fleet)
        known.update(settings)
        return known, args, settings

    def _account(self, args: Vars, attempts: int = ATTEMPTS) -> Account:
        """The account that the task's connection options name."""
        try:
            return Account(*(args[c] or "" for c in CONNECTION), attempts=attempts)
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None

    def _settings(self, known: Vars, options: Mapping[str, Any]) -> Vars:
        if problems := rules.unknown_names(known, options):
            raise AnsibleActionFail(sentence(problems))
        values: Vars = {}
        wrong: dict[str, str] = {}
        for name in options:
            try:
                values[name] = self._fill(known, known.get(name))
            except AnsibleError as error:
                wrong[name] = (
                    f"{name} cannot be filled in: test what its value looks up. The value is secret and not shown."
                    if options[name].get("no_log")
                    else f"{name} is {known.get(name)!r} and cannot be filled in: {error}"
                )
            if name in values and values[name] is None:
                wrong[name] = f"{name} has no value: give one, or remove the variable for its default."
        first = [text for name, text in wrong.items() if not _names_any(known.get(name), wrong.keys() - {name})]
        problems += first or wrong.values()  # each names another one where they go round in a circle
        spec = {
            name: {k: v for k, v in option.items() if k in ("type", "elements", "choices")}
            for name, option in options.items()
        }
        checked = ArgumentSpecValidator(spec).validate(values)
        if checked.error_messages:
            problems += [
                _wrong(name, values[name], spec[name]) for name in values if _refuses(spec[name], values[name])
            ]
        if problems := problems or rules.problems(checked.validated_parameters):
            raise AnsibleActionFail(sentence(problems))
        return dict(checked.validated_parameters)

    def _fill(self, variables: Vars, value: Any) -> Any:
        self._templar.available_variables = variables
        return self._templar.template(value)


def _refuses(option: Mapping[str, Any], value: Any) -> bool:
    return bool(ArgumentSpecValidator({"it": option}).validate({"it": value}).error_messages)


def _wrong(name: str, value: Any, option: Mapping[str, Any]) -> str:
    kind = f"one of {', '.join(map(str, option['choices']))}" if "choices" in option else TYPES[option["type"]]
    return f"{name} is {value!r}: write {kind}."


def sentence(problems: list[str]) -> str:
    """One problem as it is, several as a list."""
    return (
        problems[0] if len(problems) == 1 else "\n".join([f"{len(problems)} problems:", *(f"- {p}" for p in problems)])
    )


def _names_any(value: object, names: Collection[str]) -> bool:
    """Whether a value is a template that uses one of these variables, as the default of an option may."""
    return isinstance(value, str) and any(re.search(rf"\b{name}\b", value) for name in names)


def command_line(variables: Vars) -> CommandLine:
    """How the operator runs this collection's playbooks for this fleet."""
    playbooks = Path(variables["playbook_dir"])
    site = playbooks.parent / "site.yml"
    return CommandLine(
        playbooks=_relative(playbooks),
        site=_relative(site if site.is_file() else playbooks / "site.yml"),
        inventory=_relative(variables.get("inventory_file") or variables.get("inventory_dir") or "inventory"),
        fleet=variables["inventory_hostname"],
    )


def _relative(path: str | Path) -> str:
    """The path as an operator would type it: relative where it is below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
