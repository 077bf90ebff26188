"""The command line: exit codes, one line instead of a traceback, and nothing of a secret in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import ghosthands_agent
import pytest
from ghosthands_agent import __main__ as program
from ghosthands_agent.__main__ import FAILED, FAULT, MISCONFIGURED, TERMINATED, main, run
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Procedure, Refused, Unavailable
from ghosthands_agent.records import RunRecords
from model.agent_conf import conf
from unit.fake_http import FakeServer, Reply, Request, fake_server
from unit.test_imds import METADATA, Service

CONF = conf()
SOURCES = Path(ghosthands_agent.__file__).parents[1]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.config.parent.mkdir(parents=True)
    paths.config.write_text(CONF)
    return paths


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def act(paths: Paths, *words: str) -> int:
    return main([*words, "--root", str(paths.root)])


def start(paths: Paths, verb: str, imds: FakeServer, **more: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCES),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url,
        **more,
    }
    command = [sys.executable, "-P", "-m", "ghosthands_agent", verb, "--root", str(paths.root), "--worker-port", "1"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "words", [[], ["reboot"], ["boot", "--force"], ["boot", "/etc/hosts"], ["pull-image"], ["disk-guard"]]
)
def test_a_wrong_command_line_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == MISCONFIGURED


@pytest.mark.parametrize(
    ("conf", "output"),
    [
        (None, "cannot be read"),
        (b"SCHEMA=2\n", "REGION is missing"),
        (CONF.encode() + b"TYPO=1\n", "TYPO is not a key"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_an_invalid_configuration_is_logged_as_one_line(
    paths: Paths, capfd: pytest.CaptureFixture[str], conf: bytes | None, output: str
) -> None:
    paths.config.unlink()
    if conf is not None:
        paths.config.write_bytes(conf)
    assert act(paths, "boot") == MISCONFIGURED
    error = capfd.readouterr().err
    assert error.startswith("event=misconfigured verb=boot reason=")
    assert output in error
    assert error.count("\n") == 1
    assert [path.name for path in paths.root.iterdir()] == ["etc"], "nothing was written"


def test_an_invalid_metadata_endpoint_is_logged_as_one_line(
    paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "not-an-address")
    assert act(paths, "watch") == MISCONFIGURED
    assert "event=misconfigured" in capfd.readouterr().err


def test_a_login_that_is_not_needed_is_logged(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert act(paths, "refresh-registry-login") == 0
    assert (
        capfd.readouterr().err == 'event=registry_login_not_needed registry=registry.internal:5000 reason="not ECR"\n'
    )


def test_a_failed_login_is_logged_as_one_line(
    paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.config.write_text(
        conf(IMAGE="123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:1", ENDPOINT_URL="http://127.0.0.1:1")
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-for-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    assert act(paths, "refresh-registry-login") == FAILED
    error = capfd.readouterr().err
    assert (
        error
        == "event=failed verb=refresh-registry-login call=ecr:get_authorization_token code=EndpointConnectionError\n"
    )


@pytest.mark.parametrize(
    ("problem", "code", "output"),
    [
        (Unavailable("docker pull", "Timeout"), FAILED, 'event=failed verb=stop call="docker pull" code=Timeout\n'),
        (Refused("imds:x", "403"), FAILED, "event=failed verb=stop call=imds:x code=403\n"),
        (RuntimeError("canary"), FAULT, "event=fault verb=stop kind=RuntimeError at=test_main.py:"),
        (KeyError("canary"), FAULT, "event=fault verb=stop kind=KeyError at=test_main.py:"),
    ],
)
def test_any_error_is_logged_as_one_line_without_its_text(
    paths: Paths,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    problem: Exception,
    code: int,
    output: str,
) -> None:
    def breaking(*_: object) -> Procedure[int]:
        yield 0.0
        raise problem

    monkeypatch.setattr(program, "procedure", breaking)
    assert act(paths, "stop") == code
    error = capfd.readouterr().err
    assert error.startswith(output)
    assert error.count("\n") == 1
    assert "canary" not in error


def test_a_procedure_is_run_to_its_end() -> None:
    def procedure() -> Procedure[int]:
        yield 0.1
        yield 0.1
        return 7

    began = time.monotonic()
    assert run(procedure()) == 7
    assert 0.2 <= time.monotonic() - began < 1.0


@pytest.mark.parametrize(("verb", "code"), [("watch", 0), ("boot", TERMINATED)])
def test_sigterm_ends_a_verb_at_once_without_a_traceback(paths: Paths, verb: str, code: int) -> None:
    """For watch that is a good end, for boot it is none: systemd must not take the instance for booted."""
    metadata = Service()
    metadata.values["local-ipv4"] = None
    with fake_server(metadata) as imds:
        with start(paths, verb, imds) as agent:
            until = time.monotonic() + 20
            while not imds.calls:
                assert time.monotonic() < until
                time.sleep(0.05)
            time.sleep(0.3)
            agent.terminate()
            began = time.monotonic()
            assert agent.wait(10) == code
            assert time.monotonic() - began < 3
            assert agent.stderr is not None
            error = agent.stderr.read()
        assert "Traceback" not in error
        assert all(line.startswith("event=") for line in error.splitlines()), error


def test_under_systemd_lines_have_priorities_and_readiness_is_notified(paths: Paths) -> None:
    with fake_server(Service()) as imds, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(paths.root / "notify"))
        manager.settimeout(20)
        with start(paths, "watch", imds, JOURNAL_STREAM="8:1", NOTIFY_SOCKET=str(paths.root / "notify")) as agent:
            assert manager.recv(100) == b"READY=1"
            assert manager.recv(100) == b"WATCHDOG=1"
            agent.terminate()
            assert agent.wait(10) == 0
            assert agent.stderr is not None
            assert {line[:3] for line in agent.stderr.read().splitlines()} <= {"<6>", "<4>", "<3>"}


@pytest.mark.parametrize("conf", [None, "SCHEMA=3\n"], ids=["missing", "refused"])
def test_watch_has_an_instance_without_a_valid_agent_conf_replaced(paths: Paths, conf: str | None) -> None:
    """It finds its group by the metadata service and the API, as systemd starts it."""
    paths.config.unlink()
    if conf is not None:
        paths.config.write_text(conf)
    answers = {
        "DescribeAutoScalingInstances": "<AutoScalingInstances><member><AutoScalingGroupName>g</AutoScalingGroupName>"
        "</member></AutoScalingInstances>",
        "DescribeLifecycleHooks": "<LifecycleHooks/>",
        "DescribeAutoScalingGroups": "<AutoScalingGroups><member><DesiredCapacity>1</DesiredCapacity><Instances>"
        f"<member><InstanceId>{METADATA['instance-id']}</InstanceId><LifecycleState>InService</LifecycleState>"
        "<HealthStatus>Healthy</HealthStatus></member></Instances></member></AutoScalingGroups>",
        "DescribeScalingActivities": "<Activities/>",
        "SetInstanceHealth": "",
        "SetInstanceProtection": "",
    }
    asked: list[str] = []

    def aws(request: Request) -> Reply:
        parameters = parse_qs(request.body)
        action = parameters["Action"][0]
        asked.extend(parameters.get("HealthStatus", []))
        body = f"<R><{action}Result>{answers[action]}</{action}Result></R>"
        return Reply(body=body, headers={"Content-Type": "text/xml"})

    keys = {"AWS_ACCESS_KEY_ID": "a-key-for-tests", "AWS_SECRET_ACCESS_KEY": "a-secret-for-tests"}
    with (
        fake_server(aws) as api,
        fake_server(Service()) as imds,
        start(paths, "watch", imds, AWS_ENDPOINT_URL=api.url, **keys) as agent,
    ):
        until = time.monotonic() + 60
        while not ((found := RunRecords(paths).replacement()) and found.asked):
            assert time.monotonic() < until
            time.sleep(0.1)
        agent.terminate()
        assert agent.wait(10) == 0
        assert agent.stderr is not None
        error = agent.stderr.read()
    assert asked == ["Unhealthy"]
    assert "event=misconfigured verb=watch" in error
    assert "event=replacement_requested" in error


def test_watch_imports_only_what_it_needs(paths: Paths) -> None:
    """Not boot, not the doctor, and no botocore before the first call of AWS."""
    code = "import sys; import ghosthands_agent.__main__, ghosthands_agent.watch; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCES)}, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "ghosthands_agent.watch" in loaded
    unwanted = {
        "ghosthands_agent.boot",
        "ghosthands_agent.environment",
        "ghosthands_agent.doctor",
        "botocore",
        "boto3",
        "asyncio",
    }
    assert unwanted.isdisjoint(loaded)
