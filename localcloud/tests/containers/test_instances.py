"""One machine: boot, metadata, network, restart, images."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import tarfile
from dataclasses import replace

import pytest
from containers.machines import TOKEN, TOKEN_BY_NC, Instance, Rig
from localcloud.instances.docker import docker

FETCH_TOKEN = f"curl -fsS -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {TOKEN}"


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A container image's whole content, from Debian's package: `sh` and its like, linked statically."""
    folder = tmp_path_factory.mktemp("busybox")
    subprocess.run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static"], cwd=folder, check=True
    )
    subprocess.run(["dpkg-deb", "--extract", *map(str, folder.glob("*.deb")), folder], check=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder / "bin/busybox", "bin/busybox")
        for name in ("sh", "nc", "cat", "wget", "printf", "timeout"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


@pytest.fixture(scope="session")
def with_docker(shared: Instance, busybox: bytes) -> Instance:
    """The shared machine, with an image in its Docker."""
    shared.wait_for_boot()
    shared.load_busybox(busybox)
    return shared


def test_ssh_answers_within_ten_seconds_of_a_launch(rig: Rig) -> None:
    launched, ended = [], []
    for _ in range(5):
        instance = rig.launch()
        launched.append(instance.ssh_seconds)
        ended.append(instance.terminate())
    print(f"\nlaunch to SSH: min {min(launched):.2f} s, median {statistics.median(launched):.2f} s of {len(launched)}")
    print(f"terminate: min {min(ended):.2f} s, median {statistics.median(ended):.2f} s")
    assert statistics.median(launched) < 10


def test_user_data_ran_and_host_name_and_user_are_as_on_ec2(shared: Instance) -> None:
    shared.wait_for_boot()
    assert len(shared.ssh("sudo cat /root/ran").splitlines()) == 1
    assert shared.ssh("hostname") == shared.machine.host_name
    assert shared.ssh("id -u; sudo id -u").split() == ["1000", "0"]


CLOUD_CONFIG = b"""#cloud-config
write_files:
- {path: /etc/written, content: schema=1, permissions: '0600'}
runcmd:
- [touch, /root/ran]
"""


def test_user_data_may_be_cloud_config(rig: Rig) -> None:
    instance = rig.launch(user_data=CLOUD_CONFIG)
    instance.wait_for_boot()
    assert instance.ssh("sudo cat /etc/written; echo; sudo stat -c %a /etc/written; sudo ls /root/ran").split() == [
        "schema=1",
        "600",
        "/root/ran",
    ]
    instance.terminate()


def test_no_service_of_the_machine_has_failed(shared: Instance) -> None:
    shared.wait_for_boot()
    assert shared.ssh("systemctl is-system-running --wait; systemctl --failed --plain --no-legend") == "running"


def test_the_metadata_service_answers_for_the_calling_instance(shared: Instance) -> None:
    url = TOKEN.replace("api/token", "meta-data/instance-id")
    assert shared.ssh(f'curl -fsS -m 5 -H "X-aws-ec2-metadata-token: $({FETCH_TOKEN})" {url}') == shared.id


@pytest.mark.parametrize(("hops", "answered"), [(1, False), (2, True)])
def test_the_hop_limit_decides_whether_a_container_on_dockers_bridge_gets_a_token(
    with_docker: Instance, hops: int, answered: bool
) -> None:
    with_docker.limit_hops(hops)
    answer = with_docker.ssh(f'sudo docker run --rm box sh -c "{_escaped(TOKEN_BY_NC)}"', check=False)
    assert ("200 OK" in answer) is answered, answer


def test_a_container_on_the_machines_own_network_gets_a_token_with_a_hop_limit_of_one(with_docker: Instance) -> None:
    with_docker.limit_hops(1)
    assert "200 OK" in with_docker.ssh(f'sudo docker run --rm --network host box sh -c "{_escaped(TOKEN_BY_NC)}"')
    assert with_docker.ssh(FETCH_TOKEN)


def test_the_api_answers_on_the_machines_loopback_and_in_its_host_network_containers(with_docker: Instance) -> None:
    url = f"http://127.0.0.1:{with_docker.rig.port}/"
    assert with_docker.ssh(f"curl -fsS -m 5 {url}") == "this is the API"
    assert with_docker.ssh(f"sudo docker run --rm --network host box wget -q -O - {url}") == "this is the API"


def test_docker_inside_runs_on_overlay2(with_docker: Instance) -> None:
    assert with_docker.ssh("sudo docker run --rm box sh -c 'echo inside'") == "inside"
    assert with_docker.ssh("sudo docker info --format '{{.Driver}}'") == "overlay2"


def test_dockers_limits_that_this_machine_cannot_set_are_fitted_to_it_and_others_stay(with_docker: Instance) -> None:
    """As Amazon Linux's package has them: in a file that its unit reads."""
    with_docker.ssh(
        r"""sudo sh -c 'mkdir -p /etc/sysconfig /run/systemd/system/docker.service.d
        echo OPTIONS=\"--default-ulimit nofile=1024:2000000000 --default-ulimit core=0:0\" >/etc/sysconfig/docker
        printf "[Service]\nEnvironmentFile=/etc/sysconfig/docker\nExecStart=\n" >/tmp/unit
        echo "ExecStart=/usr/sbin/dockerd -H fd:// \$OPTIONS" >>/tmp/unit
        mv /tmp/unit /run/systemd/system/docker.service.d/as-amazons.conf
        systemctl daemon-reload && systemctl restart docker'"""
    )
    try:
        soft, hard, core = with_docker.ssh("sudo docker run --rm box sh -c 'ulimit -Sn; ulimit -Hn; ulimit -c'").split()
        assert (int(soft), int(hard), int(core)) == (1024, int(with_docker.ssh("ulimit -Hn")), 0)
    finally:
        with_docker.ssh(
            "sudo sh -c 'rm -r /etc/sysconfig/docker /run/systemd/system/docker.service.d/as-amazons.conf;"
            " systemctl daemon-reload && systemctl restart docker'"
        )


def test_stop_and_start_keep_disk_and_address_and_run_no_user_data_again(shared: Instance) -> None:
    shared.wait_for_boot()
    ran, host_key = shared.ssh("sudo cat /root/ran"), shared.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub")
    shared.ssh("echo kept | sudo tee /etc/kept /var/lib/docker/kept")
    assert shared.stop()[2] == "stopped"
    shared.start()
    shared.wait_for_boot()
    assert shared.ssh("cat /etc/kept; sudo cat /var/lib/docker/kept").split() == ["kept", "kept"]
    assert shared.ssh("sudo cat /root/ran") == ran
    assert shared.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub") == host_key


@pytest.mark.parametrize("from_within", [False, True])
def test_a_reboot_brings_the_machine_back_and_reports_nothing(shared: Instance, from_within: bool) -> None:
    earlier, reported = shared.booted_at(), len(shared.rig.recorder.reports)
    shared.ssh("sudo touch /etc/before-reboot")
    if from_within:
        shared.ssh("sudo reboot", check=False)
    else:
        shared.rig.host.reboot(shared.id)
    shared.wait_for_another_boot(earlier)
    assert shared.ssh("ls /etc/before-reboot")
    assert shared.rig.recorder.reports[reported:] == []
    shared.wait_for_boot()
    assert len(shared.ssh("sudo cat /root/ran").splitlines()) == 1


def test_two_machines_see_each_other(shared: Instance, instance: Instance) -> None:
    greeting = shared.ssh(f"exec 3<>/dev/tcp/{instance.machine.address}/22; head -c 7 <&3")
    assert greeting == "SSH-2.0"


def test_a_power_off_from_within_is_reported_as_stopped(instance: Instance) -> None:
    reported = len(instance.rig.recorder.reports)
    instance.ssh("sudo poweroff", check=False)
    event = instance.rig.recorder.wait(reported, "ended", instance.id)
    assert event[2:] == ("stopped", "Instance initiated shutdown")
    instance.start()


def test_a_crash_is_reported_as_failed_leaves_nothing_and_stops_no_other(rig: Rig, shared: Instance) -> None:
    before, crashing = rig.left(), rig.launch()
    reported = len(rig.recorder.reports)
    docker("kill", crashing.id)
    event = rig.recorder.wait(reported, "ended", crashing.id)
    assert event[2:] == ("failed", "its container ended with 137")
    assert sorted(rig.left()) == sorted(before)
    assert shared.ssh("echo here") == "here"


def test_a_launch_that_fails_says_why_leaves_nothing_and_stops_no_other(rig: Rig, shared: Instance) -> None:
    twice = replace(rig.machine(), address=shared.machine.address)
    reported = len(rig.recorder.reports)
    rig.host.launch(twice)
    event = rig.recorder.wait(reported, "ended", twice.id)
    assert event[2] == "failed"
    assert "Address already in use" in event[3]
    assert docker("ps", "--all", "--quiet", "--filter", f"name={twice.id}") == ""
    assert shared.ssh("echo here") == "here"


def test_terminate_leaves_no_container_and_no_volume(rig: Rig) -> None:
    before = rig.left()
    instance = rig.launch()
    volumes = [
        mount["Name"] for mount in json.loads(docker("inspect", instance.id))[0]["Mounts"] if mount["Type"] == "volume"
    ]
    assert len(volumes) == 2
    instance.terminate()
    assert sorted(rig.left()) == sorted(before)


def test_an_image_carries_disk_and_docker_to_a_machine_with_an_identity_of_its_own(
    rig: Rig, instance: Instance, busybox: bytes
) -> None:
    instance.wait_for_boot()
    instance.load_busybox(busybox)
    # Layers with a deleted file and a replaced folder: what Docker's own way to copy a volume loses.
    instance.ssh(
        "sudo docker run --name deleted box sh -c "
        "'busybox rm /bin/wget; busybox rm -r /etc; busybox mkdir /etc; echo new >/etc/new'"
    )
    instance.ssh("sudo docker commit deleted changed && sudo docker rm deleted && echo baked | sudo tee /etc/baked")
    host_key = instance.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub")
    earlier = instance.booted_at()
    instance.make_image("ami-baked", reboot=True)
    instance.wait_for_another_boot(earlier)

    second = rig.launch(image="ami-baked", user_data=b"#!/bin/sh\necho second >/root/second\n")
    second.wait_for_boot()
    assert second.ssh("cat /etc/baked; hostname; sudo cat /root/second").split() == [
        "baked",
        second.machine.host_name,
        "second",
    ]
    assert second.ssh("cloud-init query instance-id") == second.id
    assert second.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub") != host_key
    assert second.ssh("sudo docker run --rm changed sh -c 'cat /etc/new; busybox ls /bin'").split() == [
        "new", "busybox", "cat", "nc", "printf", "sh", "timeout"
    ]  # fmt: skip
    assert second.ssh("ls /var/lib/localcloud-disks.tar", check=False) == ""

    rig.host.drop_image("ami-baked")
    assert second.stop()[2] == "stopped"
    second.start()
    assert second.ssh("cat /etc/baked") == "baked"
    second.terminate()
    assert docker("images", "--all", "--quiet", "--filter", f"label={rig.label}") == ""


def test_an_image_of_a_stopped_machine_leaves_it_stopped_and_without_reboot_it_runs_on(
    rig: Rig, instance: Instance
) -> None:
    earlier = instance.booted_at()
    instance.make_image("ami-running", reboot=False)
    assert instance.booted_at() == earlier
    instance.stop()
    instance.make_image("ami-stopped", reboot=True)
    assert docker("inspect", "--format", "{{.State.Running}}", instance.id) == "false"
    for image in ("ami-running", "ami-stopped"):
        rig.host.drop_image(image)


def _escaped(script: str) -> str:
    """For use between double quotes in a shell."""
    return script.replace("\\", "\\\\")
