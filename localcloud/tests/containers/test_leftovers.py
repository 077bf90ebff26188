"""What a localcloud leaves: nothing when it ends, nothing once the next one of its port begins, and others' things alone."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from containers.machines import Cloud, Recorder
from localcloud.instances import Machine, container
from localcloud.instances.docker import HostError, docker
from localcloud.testing.containers import remaining

from localcloud import imds

#: A port that nobody listens on: these machines need no API.
PORT = 49
#: A localcloud without an API that makes all there is to make, says so, and waits to be killed.
DOOMED = """
import sys, time
from localcloud.instances import Machine, container
from localcloud import imds

class Teller:
    def running(self, instance_id):
        host.make_image(instance_id, "ami-doomed", reboot=False)
    def ended(self, *event):
        print(*event, flush=True)
    def image_made(self, image_id, problem):
        print(image_id, problem, flush=True)

host = container.open_host(int(sys.argv[1]), Teller(), serve=imds.Service(lambda id: None).serve, report=print)
host.launch(Machine("i-doomed", "ami-published", "172.30.1.5", "172.30.1.0/24", "172.30.0.0/16", "doomed"))
time.sleep(600)
"""


@pytest.fixture
def somebody_elses(base: str) -> Iterator[list[str]]:
    """A container, a volume and a network under the label of another port."""
    label = "localcloud.port=50"
    network = docker("network", "create", "--label", label, "localcloud-test-other")
    volume = docker("volume", "create", "--label", label)
    idle = docker("create", "--label", label, "--volume", f"{volume}:/data", base, "sleep", "1")
    yield [idle[:12], volume, network[:12]]
    docker("rm", "--force", idle)
    docker("volume", "rm", volume)
    docker("network", "rm", network)


def test_what_a_killed_localcloud_left_is_swept_up_by_the_next_of_its_port_alone(
    base: str, somebody_elses: list[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", DOOMED, str(PORT)], stdout=subprocess.PIPE, text=True) as doomed:
        assert doomed.stdout
        assert doomed.stdout.readline() == "ami-doomed None\n"
        os.kill(doomed.pid, signal.SIGKILL)
    assert len(remaining(PORT)) >= 6, "a container, two volumes, a network, an image, a rule"
    container.open_host(PORT, Recorder(), serve=imds.Service(lambda id: None).serve, report=print).close()
    assert remaining(PORT) == []
    assert sorted(remaining(50)) == sorted(somebody_elses)


def test_addresses_that_another_network_has_are_one_clear_error(cloud: Cloud, base: str) -> None:
    cloud.launch().terminate()  # its network stands from then on
    recorder = Recorder()
    host = container.open_host(PORT, recorder, serve=imds.Service(lambda id: None).serve, report=print)
    second = Cloud(host, recorder, cloud.key, PORT, itertools.count(10))
    machine = second.machine()
    host.launch(machine)
    event = recorder.wait(0, "ended", machine.id)
    host.close()
    assert event[2] == "failed"
    assert f"Docker's network localcloud.port-{cloud.port}-172.29.0.0-16 has 172.29.0.0/16" in event[3]
    assert remaining(PORT) == []


def test_closing_cuts_the_power_and_leaves_nothing_whatever_is_under_way(base: str) -> None:
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
