"""Use localcloud in tests.

A cloud in a thread of this process, whose instances are simulated::

    from localcloud.testing import PROPAGATED, Cloud, wait_until

    with Cloud.start_thread() as cloud:
        cloud.client("ec2").create_launch_template(...)
        cloud.advance(PROPAGATED)  # Auto Scaling sees it some seconds later
        cloud.client("autoscaling").create_auto_scaling_group(AutoScalingGroupName="workers", ...)
        wait_until(lambda: "InService" in cloud.lifecycle_states("workers").values())
        assert cloud.writes() == ["CreateLaunchTemplate", "CreateAutoScalingGroup"]

A cloud in a process of its own, with any option of `localcloud up`::

    with Cloud.start_process(instances="container") as cloud:
        subprocess.run(["terraform", "apply"], env=cloud.environment)

``Cloud("http://127.0.0.1:5566")`` uses one that is up already.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from localcloud import seed
from localcloud.strictness import OBSERVER, PROPAGATED, STRICT, Strictness

if TYPE_CHECKING:
    from localcloud.world import World

__all__ = ["CREDENTIALS", "PROPAGATED", "Cloud", "free_port", "is_write", "repeatedly", "wait_until"]

T = TypeVar("T")
#: Credentials that localcloud takes for the account owner's, who may do everything; any others would do.
CREDENTIALS = {"aws_access_key_id": "localcloud-access-key", "aws_secret_access_key": "localcloud-secret-key"}
_READS = re.compile("Describe|Get|List|Simulate|BatchGet")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy


class Cloud:
    """A running localcloud.

    Args:
        url: where it answers, such as ``http://127.0.0.1:5566``.
        folder: where it keeps its files and its trace; None for a cloud whose trace is not of interest.

    Attributes:
        application: the WSGI application of a cloud in this process, None for one in another.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self.url = url
        self.application: Any = None
        self._folder = folder
        self._clients = dict[tuple[object, ...], Any]()
        self._clients_lock = threading.Lock()
        self._trace_offset = 0
        self._cleanup = ExitStack()

    # --- start and stop -------------------------------------------------------------------------------------

    @classmethod
    def start_thread(
        cls,
        folder: Path | None = None,
        *,
        latency_ms: float = 0,
        enforce_iam: bool = False,
        strictness: Strictness = STRICT,
    ) -> Self:
        """Start a localcloud with simulated instances in a thread of this process.

        Args:
            folder: for its files; a temporary one by default.
            latency_ms: added to each API call.
            enforce_iam: refuse what the policies of IAM users and roles do not allow.
            strictness: AWS's limits and delays; all of them by default.
        """
        from localcloud.server import application as server  # takes a second or two, because of moto
        from localcloud.world import World

        with ExitStack() as cleanup:
            folder = folder or Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="localcloud-")))
            httpd = server.make(0, latency_ms, folder / "trace.jsonl", enforce_iam, World(strictness))
            cleanup.callback(httpd.server_close)
            thread = threading.Thread(target=httpd.serve_forever, name="localcloud", daemon=True)
            thread.start()
            cleanup.callback(thread.join)
            cleanup.callback(httpd.shutdown)
            cloud = cls(f"http://127.0.0.1:{httpd.server_port}", folder)
            cloud.application = httpd.app
            cleanup.callback(cloud.control, "trace", file=None)  # closes the file
            cloud._cleanup = cleanup.pop_all()
        return cloud

    @classmethod
    def start_process(
        cls, folder: Path | None = None, *, environment: Mapping[str, str] | None = None, **options: Any
    ) -> Self:
        """Start a localcloud in a process of its own.

        Args:
            folder: for its files; a temporary one by default.
            environment: additional environment variables.
            options: those of `localcloud up`: instances="process", command="sleep 60", speed=60, enforce_iam=True.

        Raises:
            RuntimeError: it did not start; with its output.
        """
        with ExitStack() as cleanup:
            folder = folder or Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="localcloud-")))
            cloud = cls(f"http://127.0.0.1:{free_port()}", folder)
            cleanup.callback(cloud.run_localcloud, "down")
            words = [f"--trace={cloud.trace_file}"]
            for name, value in options.items():
                option = f"--{name.replace('_', '-')}"
                words += [option] if value is True else [] if value is None or value is False else [f"{option}={value}"]
            cloud.run_localcloud("up", *words, environment=environment)
            cloud._cleanup = cleanup.pop_all()
        return cloud

    def stop(self) -> None:
        """Stop the cloud, if this object started it."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run_localcloud(self, command: str, *options: str, environment: Mapping[str, str] | None = None) -> str:
        """Run `localcloud up`, `down` or `status` on this cloud's port and return its output.

        Raises:
            RuntimeError: it failed; with its output.
        """
        done = subprocess.run(
            [sys.executable, "-m", "localcloud", command, "--port", str(self.port), *options],
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.folder), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"localcloud {command} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    # --- clients --------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port on which the cloud listens."""
        return urlsplit(self.url).port or 80

    @property
    def folder(self) -> Path:
        """Where the cloud keeps its files. Raises ValueError for a cloud of which only the URL is known."""
        if self._folder is None:
            raise ValueError(f"the folder of the localcloud on {self.url} is not known")
        return self._folder

    @property
    def world(self) -> World:
        """The state of a cloud in this process, to be read and changed within ``with cloud.world.entered():``."""
        world: World = self.application.world
        return world

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a child process: this process's, with this cloud in place of AWS."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": seed.REGION,
            **{name.upper(): value for name, value in CREDENTIALS.items()},
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, region: str = seed.REGION, **options: Any) -> Any:
        """Return a boto3 client, the same one for the same arguments.

        It makes each call once, without retries, so that a test sees every error, and looks on from outside: its calls
        are never throttled and use up nothing of what the account may make. `options` are boto3's own, such as
        `aws_access_key_id` and `aws_secret_access_key` of another caller, or `config`: such a client is one like any
        other.
        """
        import boto3
        from botocore.config import Config

        key = (service, region, *sorted(options.items()))
        with self._clients_lock:
            if key not in self._clients:
                once = {"config": Config(retries={"total_max_attempts": 1}, user_agent_extra=OBSERVER)}
                make: Any = boto3.client  # typed by service name, which is not known here
                self._clients[key] = make(
                    service, region_name=region, endpoint_url=self.url, **{**CREDENTIALS, **once, **options}
                )
            return self._clients[key]

    def group(self, name: str) -> dict[str, Any]:
        """Return an Auto Scaling group as AWS describes it; {} if there is none of this name."""
        autoscaling = self.client("autoscaling")
        found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(found[0]) if found else {}

    def lifecycle_states(self, group: str) -> dict[str, str]:
        """Return the lifecycle state, such as "InService", of each instance of a group, by instance id."""
        return {i["InstanceId"]: i["LifecycleState"] for i in self.group(group).get("Instances", [])}

    # --- controls -------------------------------------------------------------------------------------------

    def control(self, name: str, **values: Any) -> dict[str, Any]:
        """POST to a control, `/localcloud/NAME`. Raises ValueError if it refuses the values."""
        return self._request(name, json.dumps(values).encode())

    def status(self) -> dict[str, Any]:
        """Return the cloud's settings, its groups and their instances."""
        return self._request("status")

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the transitions of instances between lifecycle states whose number is higher than `after`."""
        return list(self._request(f"events?after={after}")["events"])

    def reset(self) -> None:
        """Terminate everything and bring the account back to its initial state."""
        self.control("reset")

    def snapshot(self) -> None:
        """Keep the account's present state for `restore`. Simulated instances only."""
        self.control("snapshot")

    def restore(self) -> None:
        """Bring the account back to the state of the last snapshot, as often as needed."""
        self.control("restore")

    def set_speed(self, speed: float) -> None:
        """Let the time of groups and simulated instances pass so many times as fast as real time."""
        self.control("speed", speed=speed)

    def advance(self, seconds: float) -> None:
        """Let so much time of groups, simulated instances and IAM's changes pass at once."""
        self.control("advance", seconds=seconds)

    def complete_launches(self, complete: bool = True) -> None:
        """Let simulated instances complete their launch hooks once they run, or not."""
        self.control("launch-hooks", complete=complete)

    def set_latency(self, milliseconds: float) -> None:
        """Delay the answer to each API call."""
        self.control("latency", ms=milliseconds)

    def set_faults(self, *faults: Mapping[str, Any], seed: int = 0) -> None:
        """Make calls fail, for example {"operation": "ec2:Describe*", "kind": "throttle", "rate": 0.5, "times": 3}.

        They replace those of an earlier call; without arguments, nothing fails any more.
        """
        self.control("faults", faults=faults, seed=seed)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that are set; `struck` is how many calls each of them has affected."""
        return list(self._request("faults")["faults"])

    def enforce_iam(self, enforce: bool = True) -> None:
        """Refuse from now on, or no longer, what the policies of IAM users and roles do not allow."""
        self.control("enforce-iam", on=enforce)

    def _request(self, name: str, body: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/localcloud/{name}", body, {"Content-Type": "application/json"})
        try:
            with _DIRECT.open(request, timeout=180) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise ValueError(f"{name}: {json.load(refusal)['error']}") from None

    # --- trace ----------------------------------------------------------------------------------------------

    @property
    def trace_file(self) -> Path:
        """The file to which the cloud writes each API call as a line of JSON."""
        return self.folder / "trace.jsonl"

    def calls(self, *actions: str) -> list[dict[str, Any]]:
        """Return the API calls since `clear_trace`, of these actions only if any are given.

        Each has `at`, `service`, `action`, `parameters`, `status` (HTTP), `error` (AWS's code or None) and `ms`.
        """
        if not self.trace_file.exists():
            return []
        with self.trace_file.open(encoding="utf-8") as file:
            file.seek(self._trace_offset)
            made = [json.loads(line) for line in file if line.endswith("\n")]  # the last may be half written
        return [call for call in made if not actions or call["action"] in actions]

    def writes(self) -> list[str]:
        """Return the actions of those calls that change something."""
        return [call["action"] for call in self.calls() if is_write(call["action"])]

    def clear_trace(self) -> None:
        """Let `calls` begin here."""
        self._trace_offset = self.trace_file.stat().st_size if self.trace_file.exists() else 0


def is_write(action: str) -> bool:
    """Whether an API action changes something, by its name."""
    return not _READS.match(action)


def free_port() -> int:
    """Return a free port below those that the kernel gives to outgoing connections, so that none of them takes it."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(find: Callable[[], T], timeout: float = 20.0, every: float = 0.05) -> T:
    """Call a function, every so many seconds, until its result is true, and return that. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while not (found := find()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{find} did not become true within {timeout:g} s")
        time.sleep(every)
    return found


@contextmanager
def repeatedly(action: Callable[[], object], every: float) -> Iterator[None]:
    """Call a function in a thread every so many seconds while the block runs. What it raises is raised at the end."""
    stop, errors = threading.Event(), list[BaseException]()

    def repeat() -> None:
        try:
            while not stop.wait(every):
                action()
        except BaseException as error:  # a thread's exception reaches nobody by itself
            errors.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]
