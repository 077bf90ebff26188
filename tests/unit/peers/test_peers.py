"""How `make peers` judges what a client got, and what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.peers import cli, report

REFUSED = "An error occurred (InvalidAction) when calling X: localcloud does not model X of ec2"


@pytest.mark.parametrize(
    ("status", "out", "error", "documented", "outcome"),
    [
        (0, '{"Vpcs": []}', "", {"Vpcs": [{}], "NextToken": "t"}, "passed"),
        (0, "", "", None, "passed"),
        (0, '{"Vpcs": []}', "", {"Subnets": []}, "fault"),
        (0, '{"ARN": ""}', "", {"ARN": "", "LastRotatedDate": ""}, "passed"),
        (255, "", "An error occurred (InvalidVpcID.NotFound) when calling DescribeVpcs: ...", None, "passed"),
        (255, "", REFUSED, None, "refused"),
        (255, "", "An error occurred (InternalFailure) when calling DescribeVpcs: ...", None, "fault"),
        (252, "", "the following arguments are required: --vpc-id", None, "absent"),
        (255, "", "Parameter validation failed: Invalid type for parameter X", None, "absent"),
        (255, "", "KeyError: 'Vpcs'", None, "fault"),
    ],
)
def test_an_answer_of_awss_passes_and_an_error_500_or_a_lack_is_a_fault(
    status: int, out: str, error: str, documented: object, outcome: str
) -> None:
    assert cli._judged("describe-secret", status, out, error, documented)[0] == outcome


def test_examples_are_read_with_their_output() -> None:
    found = {name: (command, output) for name, command, output in cli._examples("sts")}
    command, output = found["sts get-caller-identity 1"]
    assert command == "aws sts get-caller-identity"
    assert set(output) == {"UserId", "Account", "Arn"}


def test_an_examples_ids_become_those_of_what_is_here() -> None:
    command = "aws ec2 describe-vpcs --region eu-west-1 --vpc-ids vpc-1a2b3c4d tgw-1a2b3c4d --zone us-west-2a"
    assert cli._here(command, {"vpc": "vpc-1", "key": "k-1"}) == (
        "aws ec2 describe-vpcs --region us-east-1 --vpc-ids vpc-1 tgw-1a2b3c4d --zone us-east-1a"
    )


def test_the_counts_are_written_between_the_marks_and_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "peers.md"
    page.write_text("before\n<!-- counts -->\n| moto 4 | old |\n| other 1 | kept |\n<!-- end of counts -->\nafter\n")
    peer = report.Peer("moto", "5", "its tests")
    for outcome in ("passed", "passed", "refused", "fault", "absent"):
        peer.add(outcome, outcome)
    report.write(page, [peer])
    text = page.read_text()
    assert "| moto 5 | its tests | 2 | 1 | 1 | 1 | 2" in text
    assert "| other 1 | kept |" in text
    assert (text.startswith("before\n"), text.endswith("\nafter\n"), "old" in text) == (True, True, False)
    assert [case.name for case in peer.faults()] == ["fault"]
    assert report.summary([peer]) == "peers: 2 passed, 1 failed, 1 refused by name"
