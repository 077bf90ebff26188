"""A localcloud leaves nothing in Docker when it stops, nor once the next one has started after a crash."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from containers.machines import Recorder, Rig
from localcloud.instances import Machine, container
from localcloud.instances.docker import HostError, docker
from localcloud.testing.containers import remaining

from localcloud import imds

#: A port without a listener: these machines need no API.
PORT = 49
#: A host that creates one of everything, prints that, and waits to be killed.
CRASHING = """
import sys, time
from localcloud.instances import Machine, container
from localcloud import imds

class Listener:
    def running(self, instance_id):
        host.make_image(instance_id, "ami-crashed", reboot=False)
    def ended(self, *event):
        print(*event, flush=True)
    def image_made(self, image_id, problem):
        print(image_id, problem, flush=True)

host = container.open_host(int(sys.argv[1]), Listener(), serve=imds.Service(lambda id: None).serve, report=print)
host.launch(Machine("i-crashed", "ami-published", "172.30.1.5", "172.30.1.0/24", "172.30.0.0/16", "crashed"))
time.sleep(600)
"""


@pytest.fixture
def of_another_port(base: str) -> Iterator[list[str]]:
    """A container, a volume and a network under the label of another port."""
    label = "localcloud.port=50"
    network = docker("network", "create", "--label", label, "localcloud-test-other")
    volume = docker("volume", "create", "--label", label)
    idle = docker("create", "--label", label, "--volume", f"{volume}:/data", base, "sleep", "1")
    yield [idle[:12], volume, network[:12]]
    docker("rm", "--force", idle)
    docker("volume", "rm", volume)
    docker("network", "rm", network)


def test_what_a_killed_localcloud_left_is_removed_by_the_next_one_on_its_port_only(
    base: str, of_another_port: list[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", CRASHING, str(PORT)], stdout=subprocess.PIPE, text=True) as crashed:
        assert crashed.stdout
        assert crashed.stdout.readline() == "ami-crashed None\n"
        os.kill(crashed.pid, signal.SIGKILL)
    assert len(remaining(PORT)) >= 6, "a container, two volumes, a network, an image, a rule"
    container.open_host(PORT, Recorder(), serve=imds.Service(lambda id: None).serve, report=print).close()
    assert remaining(PORT) == []
    assert sorted(remaining(50)) == sorted(of_another_port)


def test_addresses_of_another_network_are_one_clear_error(rig: Rig, base: str) -> None:
    rig.launch().terminate()  # its network exists from then on
    recorder = Recorder()
    host = container.open_host(PORT, recorder, serve=imds.Service(lambda id: None).serve, report=print)
    second = Rig(host, recorder, rig.key, PORT, itertools.count(10))
    machine = second.machine()
    host.launch(machine)
    event = recorder.wait(0, "ended", machine.id)
    host.close()
    assert event[2] == "failed"
    assert f"Docker's network localcloud.port-{rig.port}-172.29.0.0-16 has 172.29.0.0/16" in event[3]
    assert remaining(PORT) == []


def test_closing_during_a_launch_and_an_image_leaves_nothing(base: str) -> None:
    recorder = Recorder()
    host = container.open_host(PORT, recorder, serve=imds.Service(lambda id: None).serve, report=print)
    launched = Machine("i-closing", "ami-published", "172.30.1.5", "172.30.1.0/24", "172.30.0.0/16", "closing")
    host.launch(launched)
    recorder.wait(0, "running", launched.id)
    host.make_image(launched.id, "ami-closing", reboot=True)
    host.launch(Machine("i-late", "ami-published", "172.30.1.6", "172.30.1.0/24", "172.30.0.0/16", "late"))
    host.close()
    assert remaining(PORT) == []


def test_without_a_docker_that_answers_there_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(
        HostError, match=r"container instances need Docker, and it does not answer .*run \.ci/docker as root"
    ):
        container.open_host(PORT, Recorder(), serve=imds.Service(lambda id: None).serve, report=print)
