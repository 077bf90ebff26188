"""Terraform with its AWS provider, where both are on the machine: creates, changes and destroys a stack (stack.tf)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
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


def run(quick: bool) -> report.Peer:
    """Create, change four times, destroy."""
    peer = report.Peer("Terraform", "", "creates, changes and destroys a stack of 20 resources")
    program = shutil.which("terraform")
    mirror = next((path for path in (os.environ.get("TF_PLUGINS", ""), *MIRRORS) if path and Path(path).is_dir()), None)
    if quick or program is None or mirror is None:
        lacking = "takes minutes" if quick else "no terraform on PATH" if program is None else "no folder of providers"
        peer.add("the stack", "absent", lacking)
        return peer
    with (
        tempfile.TemporaryDirectory(prefix="peers-") as folder,
        Cloud.start_thread(strictness=Strictness.off()) as cloud,
    ):
        here = Path(folder)
        (here / "stack.tf").write_text((Path(__file__).parent / "stack.tf").read_text())
        settings = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
        (here / "settings.tfrc").write_text(settings)
        environment = {
            **os.environ,
            **cloud.environment,
            "AWS_REGION": "us-east-1",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(here / "settings.tfrc"),
            "TF_IN_AUTOMATION": "1",
        }

        def terraform(name: str, *arguments: str, empty: bool = False) -> bool:
            try:
                done = subprocess.run(
                    [program, *arguments],
                    cwd=here,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_SECONDS,
                    check=False,
                )
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
        version = subprocess.run([program, "version"], env=environment, cwd=here, capture_output=True, text=True)
        found = re.findall(r"v([0-9.]+)", version.stdout)
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
