"""What localcloud relies on in moto: when moto changes, these tests say what to look at.

moto is pinned; raise the pin only together with this file.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from typing import Any

import moto
import pytest
from localcloud.autoscaling import groups
from localcloud.autoscaling import service as autoscaling
from localcloud.ec2 import images, launch_templates
from localcloud.ec2 import service as ec2
from localcloud.iam import service as iam
from localcloud.patches import picker
from localcloud.server import application as server

from localcloud import services

MOTO = "5.2.5"
OURS: list[type] = [
    autoscaling.AutoScaling,
    ec2.Ec2,
    ec2.Ec2Backend,
    ec2.Image,
    images.CustomImage,
    picker.Picker,
    groups.Groups,
    iam.Iam,
    iam.IamBackend,
    iam.PolicyValidator,
    launch_templates.Template,
    server.Dispatcher,
    server.Handler,
    services.Kms,
    services.KmsActions,
    services.Logs,
    services.Secret,
    services.SecretsManager,
    services.ServiceQuotas,
    services.Ssm,
    services.Sts,
]

#: Functions of moto's on whose bodies localcloud relies: a digest of the source, and why.
RELIED_ON: dict[str, tuple[str, str]] = {
    "moto.core.responses.ActionResult.execute_result": (
        "6333faa349b5",
        "it takes the picker by the name that install() replaces",
    ),
    "moto.core.serialize.AttributePicker.__call__": ("c15da8ec29c1", "ours does the same with a memory"),
    "moto.ec2.models.EC2Backend.__init__": (
        "6103843efe4c",
        "it calls create_default_vpc when there is no network, and keeps the answer as default_vpc",
    ),
    "moto.ec2.models.amis.AmiBackend.__init__": ("4e560d0a58c8", "it calls _load_amis"),
    "moto.ec2.models.amis.Ami.__init__": (
        "5f3ab2d46e8c",
        "it makes the snapshot that a seeded image renames and resizes",
    ),
    "moto.ec2.models.instances.InstanceBackend.run_instances": (
        "4f521b284b7e",
        "ours hands it completed arguments: devices, interfaces, groups, tags",
    ),
    "moto.ec2.models.instances.Instance.__init__": (
        "4b6a3d3c0bf6",
        "it takes template tags, metadata options and subnet as ours hands them over",
    ),
    "moto.ec2.models.instances.Instance.prep_nics": (
        "c2288c1e5e70",
        "it takes the primary interface as ours settles it",
    ),
    "moto.ec2.models.instances.Instance.terminate": (
        "b5e4ee68c414",
        "it frees interfaces and volumes; ours says when, and why",
    ),
    "moto.ec2.models.instances.Instance.stop": (
        "e6e7da70fc8a",
        "it takes the public address away; ours says when, and why",
    ),
    "moto.ec2.models.instances.Instance.start": ("59967ab3c8e7", "it gives a public address; ours says when"),
    "moto.ec2.responses.instances.InstanceResponse.run_instances": (
        "053f1ed0a0ec",
        "it gives the first instance its profile, and ours the others theirs",
    ),
    "moto.core.base_backend.AccountSpecificBackend.__getitem__": (
        "b10167294fc0",
        "it makes a backend on demand: reset and restore empty it",
    ),
    "moto.core.base_backend.BackendDict._create_account_specific_backend": (
        "efcc193ee3ca",
        "it takes the class to make from .backend, which install() sets",
    ),
    "moto.core.responses.BaseResponse.call_action": (
        "26076963fd17",
        "it lets fleet.Refused and NotImplementedError pass, and serializes what methods return",
    ),
    "moto.core.responses.BaseResponse.parse_parameters": ("fd3d04c91948", "the trace parses requests the same way"),
    "moto.moto_server.werkzeug_app.create_backend_app": (
        "a317751ebd1c",
        "it takes routes from urls.url_paths, which install() replaces",
    ),
    "moto.moto_server.werkzeug_app.DomainDispatcherApplication.__call__": (
        "7b12179deced",
        "the server calls it for every AWS request",
    ),
    "moto.iam.models.IAMBackend.__init__": ("0aab2d3a734f", "it calls _init_aws_policies"),
    "moto.ec2.models.vpcs.VPCBackend.create_vpc": (
        "38aab71ca2b5",
        "the seeding does what it does, with ids of our own",
    ),
    "moto.ec2.models.subnets.SubnetBackend.create_subnet": (
        "82496fb64997",
        "the seeding does what it does, with ids of our own",
    ),
}

#: Actions that moto lacks and ours adds.
ADDED = [
    ("moto.ec2.responses.EC2Response", "delete_launch_template_versions"),
    ("moto.ec2.responses.EC2Response", "disable_image_deprecation"),
    ("moto.ec2.responses.EC2Response", "enable_image_deprecation"),
    ("moto.iam.responses.IamResponse", "delete_user_permissions_boundary"),
    ("moto.iam.responses.IamResponse", "list_service_specific_credentials"),
    ("moto.iam.responses.IamResponse", "put_user_permissions_boundary"),
    ("moto.iam.responses.IamResponse", "simulate_custom_policy"),
    ("moto.iam.responses.IamResponse", "simulate_principal_policy"),
]


def fingerprint(thing: Any) -> str:
    """A short digest of the source."""
    return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:12]


def found(path: str) -> Any:
    """What a dotted path names: ``module.Class.attribute`` or ``module.function``."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            thing = inspect.getattr_static(thing, name)
        return plain(thing)
    raise ModuleNotFoundError(path)


def plain(thing: Any) -> Any:
    """The function inside a property or a class method."""
    return getattr(thing, "fget", None) or getattr(thing, "__func__", None) or thing


def overrides(ours: type) -> dict[str, tuple[Any, Any]]:
    """The methods of moto's that a class overrides, but for constructors: path -> (moto's, localcloud's)."""
    pairs: dict[str, tuple[Any, Any]] = {}
    for position, owner in enumerate(ours.__mro__):
        if owner.__module__.startswith("localcloud"):
            for name, value in vars(owner).items():
                if name == "__init__":
                    continue
                for base in ours.__mro__[position + 1 :]:
                    theirs = plain(vars(base).get(name))
                    if base.__module__.startswith("moto") and inspect.isfunction(theirs) and callable(plain(value)):
                        pairs[f"{base.__module__}.{base.__name__}.{name}"] = theirs, plain(value)
                        break
    return pairs


def test_moto_is_the_version_that_localcloud_was_written_for() -> None:
    assert moto.__version__ == MOTO, (
        f"moto is {moto.__version__}, localcloud was written for {MOTO}: run this file's other tests, look at what "
        "they name, run all of localcloud/tests/unit, then raise MOTO here and the pin in the requirements"
    )


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.__name__)
def test_each_override_takes_the_parameters_of_motos_method(ours: type) -> None:
    for path, (theirs, own) in overrides(ours).items():
        parameters = inspect.signature(theirs).parameters.values()
        named = {p.name: None for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
        try:
            inspect.signature(own).bind(**named)
        except TypeError as error:
            raise AssertionError(f"{path} has other parameters than localcloud's override: {error}") from error


@pytest.mark.parametrize("path", RELIED_ON)
def test_what_localcloud_relies_on_is_unchanged(path: str) -> None:
    expected, reason = RELIED_ON[path]
    now = fingerprint(found(path))
    assert now == expected, (
        f"the body of {path} has changed ({now}, was {expected}); localcloud relies on it because {reason}: "
        "read it, run localcloud/tests/unit, then correct RELIED_ON"
    )


@pytest.mark.parametrize(("owner", "action"), ADDED)
def test_moto_still_lacks_what_localcloud_adds(owner: str, action: str) -> None:
    assert not hasattr(found(owner), action), f"moto now has {owner}.{action}: see whether localcloud's can go"
