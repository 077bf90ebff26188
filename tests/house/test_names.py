"""Names: prefixes, full module names, unique play names, the action group, and what no file may mention."""

from __future__ import annotations

import re
from pathlib import PurePath

from tests.house import repository
from tests.house.ansible_content import content, has_connection_options, plays, repeated, uses
from tests.house.test_argument_specs import FLEET_DEFAULTS, fleet_options

OWN = "wekruit.ghosthands."
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"
FOREIGN = ("amazon.aws.", "community.aws.")

# In pieces, so that this file does not contain them.
HOSTS = (
    *("pypi org", "pythonhosted org", "npmjs org", "npmjs com", "crates io", "proxy golang org", "maven org"),
    *("rubygems org", "galaxy ansible com", "debian org", "archive ubuntu com"),
)
WORKPLACES = (".. /shared", "farm- studio", "/work /main", "/work /shared", "/tmp /w/")
FORBIDDEN = re.compile(
    "|".join(
        re.escape(word)
        for word in (*(host.replace(" ", ".") for host in HOSTS), *(p.replace(" ", "") for p in WORKPLACES))
    )
)


def action_group() -> list[str]:
    modules: list[str] = repository.load("meta/runtime.yml")["action_groups"]["fleet"]
    return modules


def own_aws_modules() -> set[str]:
    """Our modules that take AWS connection options."""
    files = (
        file for file in repository.matching("plugins/modules/*.py") if has_connection_options(repository.text(file))
    )
    return {OWN + PurePath(file).stem for file in files}


def modules_in(folder: str) -> set[str]:
    return {use.module for file, value in content().items() if file.startswith(folder) for use in uses(value)}


def test_the_defaults_of_playbooks_are_fleet_variables_only() -> None:
    assert [name for name in repository.load(FLEET_DEFAULTS) if not name.startswith("fleet_")] == []


def test_environments_set_only_fleet_variables_that_the_spec_knows() -> None:
    environments = repository.matching("inventories/*/group_vars/fleet.yml")
    assert len(environments) >= 3
    unknown = [
        (file, name) for file in environments for name in repository.load(file) or {} if name not in fleet_options()
    ]
    assert unknown == []


def test_every_task_names_its_module_in_full() -> None:
    short = [(file, use) for file, value in content().items() for use in uses(value) if use.module.count(".") < 2]
    assert short == []


def test_every_play_has_a_unique_name() -> None:
    playbooks = [value for file, value in content().items() if file.startswith("playbooks/")]
    names = [play["name"] for value in playbooks for play in plays(value)]
    assert names
    assert repeated(names) == []


def test_roles_use_builtin_modules_only() -> None:
    assert {module for module in modules_in("roles/") if not module.startswith("ansible.builtin.")} == set()


def test_roles_never_mention_a_fleet_variable() -> None:
    assert [file for file in repository.matching("roles/*") if re.search(r"\bfleet_\w", repository.text(file))] == []


def test_the_action_group_is_exactly_the_aws_modules_of_the_playbooks_and_our_own() -> None:
    foreign = {module for module in modules_in("playbooks/") if module.startswith(FOREIGN)}
    assert set(action_group()) == foreign | own_aws_modules()
    assert repeated(action_group()) == []


def test_the_playbooks_use_only_modules_of_ours_that_exist() -> None:
    ours = {OWN + PurePath(file).stem for file in repository.matching("plugins/modules/*.py")}
    assert {module for module in modules_in("playbooks/") if module.startswith(OWN)} <= ours


def test_every_plugin_has_a_licence_header() -> None:
    sources = {file: repository.text(file) for file in repository.matching("plugins/*.py")}
    assert [file for file, source in sources.items() if source and LICENCE not in source[:400]] == []


def test_no_file_mentions_a_package_registry_a_mirror_or_a_workplace() -> None:
    found = {file: FORBIDDEN.findall(repository.text(file)) for file in repository.files()}
    assert {file: words for file, words in found.items() if words} == {}
