"""Names: prefixes, full module names, one name a play, the action group, and what no file may say."""

from __future__ import annotations

import re
from pathlib import PurePath

import pytest
import yaml

from tests.house import tree
from tests.house.ansible_content import content, plays, repeated, takes_connection_options, uses
from tests.house.test_specs_equal_defaults import FLEET_DEFAULTS, fleet_options

OWN = "wekruit.ghosthands."
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"
FOREIGN = ("amazon.aws.", "community.aws.")

# In pieces, so that this file does not say them.
HOSTS = (
    *("pypi org", "pythonhosted org", "npmjs org", "npmjs com", "crates io", "proxy golang org", "maven org"),
    *("rubygems org", "galaxy ansible com", "debian org", "archive ubuntu com"),
)
PLACES = (".. /shared", "farm- studio", "/work /main", "/work /shared", "/tmp /w/")
UNSPEAKABLE = re.compile(
    "|".join(
        re.escape(word) for word in (*(host.replace(" ", ".") for host in HOSTS), *(p.replace(" ", "") for p in PLACES))
    )
)


def unspeakable(text: str) -> list[str]:
    """The package registries, mirrors and places of work that a text names."""
    return UNSPEAKABLE.findall(text)


def action_group() -> list[str]:
    modules: list[str] = tree.load("meta/runtime.yml")["action_groups"]["fleet"]
    return modules


def own_aws_modules() -> set[str]:
    """Our modules that take AWS connection options."""
    files = (file for file in tree.matching("plugins/modules/*.py") if takes_connection_options(tree.text(file)))
    return {OWN + PurePath(file).stem for file in files}


def modules_in(folder: str) -> set[str]:
    return {use.module for file, value in content().items() if file.startswith(folder) for use in uses(value)}


def test_the_defaults_of_playbooks_are_fleet_variables_only() -> None:
    assert [name for name in tree.load(FLEET_DEFAULTS) if not name.startswith("fleet_")] == []


def test_environments_set_only_fleet_variables_that_the_spec_knows() -> None:
    environments = tree.matching("inventories/*/group_vars/fleet.yml")
    assert len(environments) >= 3
    strangers = [(file, name) for file in environments for name in tree.load(file) or {} if name not in fleet_options()]
    assert strangers == []


def test_every_task_names_its_module_in_full() -> None:
    short = [(file, use) for file, value in content().items() for use in uses(value) if use.module.count(".") < 2]
    assert short == []


def test_every_play_has_a_name_of_its_own() -> None:
    playbooks = [value for file, value in content().items() if file.startswith("playbooks/")]
    names = [play["name"] for value in playbooks for play in plays(value)]
    assert names
    assert repeated(names) == []


def test_roles_use_builtin_modules_only() -> None:
    assert {module for module in modules_in("roles/") if not module.startswith("ansible.builtin.")} == set()


def test_roles_never_mention_a_fleet_variable() -> None:
    assert [file for file in tree.matching("roles/*") if re.search(r"\bfleet_\w", tree.text(file))] == []


def test_the_action_group_is_exactly_the_aws_modules_of_the_playbooks_and_our_own() -> None:
    foreign = {module for module in modules_in("playbooks/") if module.startswith(FOREIGN)}
    assert set(action_group()) == foreign | own_aws_modules()
    assert repeated(action_group()) == []


def test_the_playbooks_use_only_modules_of_ours_that_exist() -> None:
    ours = {OWN + PurePath(file).stem for file in tree.matching("plugins/modules/*.py")}
    assert {module for module in modules_in("playbooks/") if module.startswith(OWN)} <= ours


def test_every_plugin_names_its_licence() -> None:
    sources = {file: tree.text(file) for file in tree.matching("plugins/*.py")}
    assert [file for file, source in sources.items() if source and LICENCE not in source[:400]] == []


def test_no_file_names_a_registry_a_mirror_or_a_place_of_work() -> None:
    spoken = {file: list(unspeakable(tree.text(file))) for file in tree.files()}
    assert {file: words for file, words in spoken.items() if words} == {}


@pytest.mark.parametrize("pieces", ["pypi org", "deb debian org", "registry npmjs org"])
def test_a_planted_host_is_found(pieces: str) -> None:
    assert len(unspeakable(f"see https://{pieces.replace(' ', '.')}/simple")) == 1


@pytest.mark.parametrize("pieces", PLACES)
def test_a_planted_place_of_work_is_found(pieces: str) -> None:
    assert len(unspeakable(f"cat {pieces.replace(' ', '')}/x")) == 1


TASKS = """
- name: A play
  hosts: all
  become: true
  tasks:
    - name: Short
      copy: {src: a}
    - name: A block
      block:
        - name: Full
          amazon.aws.iam_role: {name: r}
          register: __x
      rescue:
        - name: Looped
          ansible.builtin.debug: {msg: x}
          with_items: [1]
  handlers:
    - name: Handled
      service: {name: s}
      listen: it
- name: Imported
  ansible.builtin.import_playbook: other.yml
"""


def test_a_tasks_module_is_read_in_plays_blocks_and_handlers() -> None:
    modules = [use.module for use in uses(yaml.safe_load(TASKS))]
    full = ["amazon.aws.iam_role", "ansible.builtin.debug", "ansible.builtin.import_playbook"]
    assert sorted(modules) == [*full, "copy", "service"]
    assert [play["name"] for play in plays(yaml.safe_load(TASKS))] == ["A play"]


def test_a_repeated_name_is_found() -> None:
    assert repeated(["a", "b", "a"]) == ["a"]


def test_connection_options_are_seen_in_options_and_in_fragments() -> None:
    assert takes_connection_options('DOCUMENTATION = """\nmodule: x\noptions:\n  region: {type: str}\n"""')
    assert takes_connection_options(
        'DOCUMENTATION = r"""\nextends_documentation_fragment: [amazon.aws.region.modules]\n"""'
    )
    assert not takes_connection_options('DOCUMENTATION = """\nmodule: x\noptions:\n  path: {type: str}\n"""')
