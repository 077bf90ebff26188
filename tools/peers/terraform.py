"""Terraform with its AWS provider, where both are on the machine: creates, changes and destroys a stack (stack.tf)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from tools.peers import report

#: Where providers are kept for machines without Terraform's registry: TF_PLUGINS, or one of these.
MIRRORS = ("/opt/tf-plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")
#: One step has hung after so long.
LIMIT_SECONDS = 900
#: Changes of the stack's variables, one after the other; each is applied, then a plan has to be empty.
CHANGES = {
    "the group's maximum": {"max_size": "3"},
    "the hook's timeout": {"heartbeat_timeout": "600"},
    "the template, and with it the group's version": {"instance_type": "t3.large"},
    "a rule, and the role's description": {"ports": "[443, 8443]", "description": "of two ports"},
}


@dataclass(frozen=True)
class Terraform:
    """Terraform in a folder with its configuration, on a localcloud."""

    program: str
    folder: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of its. Raises TimeoutExpired."""
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )


def prepare(folder: Path, configuration: Path, environment: Mapping[str, str]) -> Terraform:
    """Put a configuration there, with this machine's providers.

    Args:
        environment: a localcloud's.

    Raises:
        LookupError: what is not on this machine.
    """
    program = shutil.which("terraform")
    mirror = next((path for path in (os.environ.get("TF_PLUGINS", ""), *MIRRORS) if path and Path(path).is_dir()), None)
    if program is None or mirror is None:
        raise LookupError("no terraform on PATH" if program is None else "no folder of providers")
    shutil.copy(configuration, folder)
    settings = folder / "settings.tfrc"
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    own = {
        "AWS_REGION": "us-east-1",
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(settings),
        "TF_IN_AUTOMATION": "1",
    }
    return Terraform(program, folder, {**os.environ, **environment, **own})


def run(quick: bool) -> report.Peer:
    """Create, change four times, destroy."""
    peer = report.Peer("Terraform", "", "creates, changes and destroys a stack of 20 resources")
    if quick:
        peer.add("the stack", "absent", "takes minutes")
        return peer
    with (
        tempfile.TemporaryDirectory(prefix="peers-") as folder,
        Cloud.start_thread(strictness=Strictness.off()) as cloud,
    ):
        try:
            command = prepare(Path(folder), Path(__file__).with_name("stack.tf"), cloud.environment)
        except LookupError as lacking:
            peer.add("the stack", "absent", str(lacking))
            return peer

        def terraform(name: str, *arguments: str, empty: bool = False) -> bool:
            try:
                done = command(*arguments)
            except subprocess.TimeoutExpired:
                peer.add(name, "fault", f"it had not ended after {LIMIT_SECONDS} s")
                return False
            said = done.stdout + done.stderr
            if done.returncode == 0:
                peer.add(name, "passed")
            elif empty and done.returncode == 2:
                changes = re.findall(r"^  # (.*)$|^ +[~+-] (.*)$", said, re.MULTILINE)
                peer.add(name, "fault", f"the plan is not empty: {'; '.join(a or b for a, b in changes)}")
            else:
                peer.add(name, "refused" if report.REFUSAL in said else "fault", said[said.find("Error:") :])
            return done.returncode == 0

        if not terraform("init", "init", "-input=false", "-no-color"):
            return peer
        found = re.findall(r"v([0-9.]+)", command("version").stdout)
        peer.version = f"{found[0]} with its AWS provider {found[1]}" if len(found) > 1 else " ".join(found)
        options = ["-input=false", "-no-color"]
        values = dict[str, str]()
        steps = {"create": {}, **{f"change {what}": changed for what, changed in CHANGES.items()}}
        for what, changed in steps.items():
            values |= changed
            given = [f"-var={name}={value}" for name, value in values.items()]
            if not terraform(what, "apply", "-auto-approve", *options, *given):
                break
            terraform(f"{what}: nothing is left to do", "plan", "-detailed-exitcode", *options, *given, empty=True)
        terraform("destroy", "destroy", "-auto-approve", *options)
        left = cloud.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["peers"]}])["Vpcs"]
        peer.add("nothing is left", "fault" if left else "passed", str(left) if left else "")
    return peer
