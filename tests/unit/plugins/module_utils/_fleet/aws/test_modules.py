# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each module of the comparison reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.modules import READERS, local_file


def test_a_resource_whose_name_is_not_known_yet_is_not_read(answers: Any) -> None:
    reader = READERS["amazon.aws.iam_policy"]
    assert reader.start(answers.start, answers.call, {"iam_name": "r"}) is None
    assert answers.asked == []


def test_a_resource_is_read_by_the_parameters_that_identify_it(answers: Any) -> None:
    answers.on("get_role_policy", {"PolicyDocument": {}}, RoleName="r", PolicyName="p")
    found = READERS["amazon.aws.iam_policy"].start(
        answers.start, answers.call, {"policy_name": "p", "iam_name": "r", "policy_json": "{}"}
    )
    assert found.result() == {"PolicyDocument": {}}


def test_the_latest_version_of_a_launch_template_is_read_whatever_the_default_is(answers: Any) -> None:
    versions = [{"VersionNumber": 2, "LaunchTemplateData": {}}, {"VersionNumber": 11, "LaunchTemplateData": {}}]
    templates = {"LaunchTemplates": [{"LaunchTemplateId": "lt-1"}]}
    answers.on("describe_launch_templates", templates, LaunchTemplateNames=["t"])
    request = {"LaunchTemplateName": "t", "Versions": ["$Latest", "$Default"]}
    answers.on("describe_launch_template_versions", {"LaunchTemplateVersions": versions}, **request)
    found = READERS["amazon.aws.ec2_launch_template"].read(answers.call, "t")
    assert (found["LaunchTemplateId"], found["Latest"]["VersionNumber"]) == ("lt-1", 11)


def test_files_are_read_in_the_words_of_the_modules_that_write_them(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("a\n")
    file.chmod(0o600)
    tmp_path.chmod(0o700)
    call: Any = None
    assert local_file(call, str(file)) == {"state": "file", "mode": "0600", "content": "a\n"}
    assert local_file(call, str(tmp_path)) == {"state": "directory", "mode": "0700"}
    assert local_file(call, str(tmp_path / "none")) is None
