"""The units' limits hold whatever agent.conf says, and their places are the agent's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ghosthands_agent.__main__ import MISCONFIGURED, VERBS
from ghosthands_agent.journal_file import UNITS
from ghosthands_agent.log_shipper import JOURNAL
from ghosthands_agent.paths import Paths
from ghosthands_agent.settings import RANGES
from ghosthands_agent.stop import unit_limits
from ghosthands_agent.watch import NO_CREDENTIALS_EXIT
from model.agent_conf import settings

ROLE = Path(__file__).parents[4] / "roles/ghosthands"
SLOWEST = settings(
    BOOT_TIMEOUT_SECONDS=str(RANGES["BOOT_TIMEOUT_SECONDS"][1]),
    STOP_GRACE_SECONDS=str(RANGES["STOP_GRACE_SECONDS"][1]),
    DRAIN_POLICY="sigterm",
)


def option(unit: str, name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", (ROLE / f"templates/ghosthands-{unit}.j2").read_text(), re.MULTILINE)
    assert len(found) == 1, found
    return str(found[0])


def test_systemd_lets_the_slowest_agent_conf_end_by_itself() -> None:
    limits = unit_limits(SLOWEST)
    assert limits.boot_start <= int(option("boot.service", "RuntimeMaxSec")) <= limits.boot_start + 300
    assert limits.boot_stop <= int(option("stop.service", "TimeoutStopSec")) <= limits.boot_stop + 120
    assert limits.watchdog == int(option("watch.service", "WatchdogSec"))


def test_a_watch_without_credentials_is_started_anew_and_one_with_a_wrong_agent_conf_is_not() -> None:
    assert option("watch.service", "Restart") == "always"
    prevented = set(map(int, option("watch.service", "RestartPreventExitStatus").split()))
    assert (MISCONFIGURED in prevented, NO_CREDENTIALS_EXIT in prevented) == (True, False)
    assert option("watch.service", "StartLimitIntervalSec") == "0"


def test_at_shutdown_watch_and_boot_go_before_the_worker_and_the_worker_before_docker() -> None:
    assert "docker.service" in option("stop.service", "After").split()
    for unit in ("boot.service", "watch.service"):
        assert {"docker.service", "ghosthands-stop.service", "cloud-init.service"} <= set(option(unit, "After").split())


@pytest.mark.parametrize(
    "unit",
    [file.name.removeprefix("ghosthands-").removesuffix(".j2") for file in ROLE.glob("templates/ghosthands-*.j2")],
)
def test_no_unit_waits_for_cloud_final_which_waits_for_it(unit: str) -> None:
    text = (ROLE / f"templates/ghosthands-{unit}.j2").read_text()
    assert not re.search(r"^(After|Wants|Requires)=.*cloud-final", text, re.MULTILINE)


def test_what_needs_agent_conf_does_not_start_without_it() -> None:
    for unit in ("boot", "stop", "registry-login"):
        assert option(f"{unit}.service", "ConditionPathExists") == "{{ __ghosthands_conf }}"
    assert "ConditionPathExists" not in (ROLE / "templates/ghosthands-watch.service.j2").read_text()


def test_every_verb_that_a_unit_starts_is_one_of_the_agents() -> None:
    started = {
        verb
        for unit in ROLE.glob("templates/*.service.j2")
        for verb in re.findall(r"__ghosthands_agent }} (\S+)", unit.read_text())
    }
    assert started == {"boot", "watch", "stop", "refresh-registry-login", "disk-guard", "journal-file"}
    assert started <= VERBS.keys()


def test_the_journals_file_lies_in_the_folder_that_its_unit_may_write() -> None:
    assert str(Path(JOURNAL).parent) == f"/var/log/{option('journal.service', 'LogsDirectory')}"


def test_the_journal_is_read_of_every_service_of_the_role() -> None:
    services = {
        unit
        for unit in yaml.safe_load((ROLE / "vars/main.yml").read_text())["__ghosthands_units"]
        if unit.endswith(".service")
    }
    assert services - {"ghosthands-journal.service"} == {unit for unit in UNITS if unit.startswith("ghosthands-")}


def test_at_shutdown_the_last_words_are_carried_by_what_still_runs() -> None:
    assert {"docker.service", "ghosthands-watch.service", "ghosthands-stop.service"} <= set(
        option("journal.service", "Before").split()
    )
    assert option("journal.service", "After") == "amazon-cloudwatch-agent.service"


def test_the_roles_places_are_the_agents() -> None:
    names = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    paths = Paths()
    assert names["__ghosthands_conf"] == str(paths.config)
    assert names["__ghosthands_project"] == str(paths.project)
    assert names["__ghosthands_baked"] == str(paths.baked_image)
    assert str(paths.log_shipper).startswith(names["__ghosthands_log_shipper"] + "/etc/amazon-cloudwatch-agent.d/")
    assert paths.compose_file.name == "docker-compose.prod.yml"


def test_the_agents_sandbox_lets_it_write_every_file_that_boot_writes() -> None:
    names = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    line = re.search(r"^ReadWritePaths=(.*)$", (ROLE / "templates/agent-sandbox.j2").read_text(), re.MULTILINE)
    assert line
    writable = re.sub(r"\{\{ (\w+) \}\}", lambda name: str(names[name[1]]), line[1]).split()
    paths = Paths()
    for path in (paths.environment, paths.override, paths.worker_guard, paths.docker_config, paths.log_shipper):
        assert any(path.is_relative_to(folder) for folder in writable), path
