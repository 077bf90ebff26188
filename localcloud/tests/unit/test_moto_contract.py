"""What localcloud takes for granted about moto: when moto changes, these tests say what to look at.

moto is pinned; raise the pin only together with this file. ``OVERRIDDEN`` lists every method of moto's that a class of
ours replaces, by its parameters. ``RELIED_ON`` lists bodies that ours count on, by a fingerprint of their source.
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

from localcloud import services, world

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
    launch_templates.Template,
    server.Handler,
    services.Kms,
    services.Logs,
    services.SecretsManager,
    services.ServiceQuotas,
    services.Sts,
]

OVERRIDDEN: dict[str, str] = {
    "moto.core.serialize.AttributePicker.__call__": "self, context",
    "moto.core.serialize.AttributePicker.__init__": "self, alias_providers, response_transformers",
    "moto.ec2.models.EC2Backend.__init__": "self, region_name, account_id",
    "moto.ec2.models.instances.InstanceBackend.get_instance": "self, instance_id",
    "moto.ec2.models.instances.InstanceBackend.get_instance_by_id": "self, instance_id",
    "moto.ec2.models.instances.InstanceBackend.get_multi_instances_by_id": "self, instance_ids, filters",
    "moto.ec2.models.tags.TagBackend.describe_tags": "self, filters",
    "moto.core.base_backend.BaseBackend.__init__": "self, region_name, account_id",
    "moto.core.responses.BaseResponse.__init__": "self, service_name",
    "moto.core.responses.BaseResponse.call_action": "self",
    "moto.core.responses.BaseResponse.parse_parameters": "self, request",
    "moto.ec2.models.amis.Ami.__init__": (
        "self, ec2_backend, ami_id, instance, source_ami, name, description, owner_id, owner_alias, public, "
        "virtualization_type, architecture, state, creation_date, platform, image_type, image_location, "
        "hypervisor, root_device_type, root_device_name, sriov, region_name, snapshot_description, product_codes, "
        "boot_mode, tags"
    ),
    "moto.ec2.models.amis.Ami.block_device_mappings": "self",
    "moto.ec2.models.amis.AmiBackend._load_amis": "self",
    "moto.ec2.models.instances.InstanceBackend.run_instances": (
        "self, image_id, count, user_data, security_group_names, **kwargs"
    ),
    "moto.ec2.models.instances.InstanceBackend.terminate_instances": "self, instance_ids",
    "moto.ec2.models.instances.InstanceBackend.reboot_instances": "self, instance_ids",
    "moto.ec2.models.instances.InstanceBackend.start_instances": "self, instance_ids",
    "moto.ec2.models.instances.InstanceBackend.stop_instances": "self, instance_ids",
    "moto.ec2.models.launch_templates.LaunchTemplate.__init__": (
        "self, backend, name, template_data, version_description, tag_spec"
    ),
    "moto.ec2.models.launch_templates.LaunchTemplate.create_version": "self, data, description",
    "moto.ec2.models.launch_templates.LaunchTemplate.default_version": "self",
    "moto.ec2.models.launch_templates.LaunchTemplate.get_version": "self, num",
    "moto.ec2.models.launch_templates.LaunchTemplateBackend.create_launch_template": (
        "self, name, description, template_data, tag_spec"
    ),
    "moto.ec2.models.security_groups.SecurityGroupBackend._add_source_group": "self, source_groups, vpc_id",
    "moto.ec2.models.security_groups.SecurityGroupBackend._delete_security_group": "self, vpc_id, group_id",
    "moto.ec2.models.security_groups.SecurityGroupBackend._sg_update_description": "self, security_rule, rule",
    "moto.ec2.models.security_groups.SecurityGroupBackend.revoke_security_group_egress": (
        "self, group_name_or_id, ip_protocol, from_port, to_port, ip_ranges, source_groups, prefix_list_ids, security_rule_ids, vpc_id"
    ),
    "moto.ec2.responses.security_groups.SecurityGroups.update_security_group_rule_descriptions_egress": "self",
    "moto.ec2.responses.security_groups.SecurityGroups.update_security_group_rule_descriptions_ingress": "self",
    "moto.ec2.models.vpcs.VPCBackend.create_default_vpc": "self",
    "moto.ec2.responses.amis.AmisResponse.copy_image": "self",
    "moto.ec2.responses.elastic_block_store.ElasticBlockStore.modify_snapshot_attribute": "self",
    "moto.ec2.responses.amis.AmisResponse.create_image": "self",
    "moto.ec2.responses.amis.AmisResponse.modify_image_attribute": "self",
    "moto.ec2.responses.amis.AmisResponse.register_image": "self",
    "moto.ec2.responses.instances.InstanceResponse.describe_instances": "self",
    "moto.ec2.responses.elastic_block_store.ElasticBlockStore.delete_snapshot": "self",
    "moto.ec2.responses.instances.InstanceResponse.modify_instance_metadata_options": "self",
    "moto.ec2.responses.instances.InstanceResponse.run_instances": "self",
    "moto.ec2.responses.instances.InstanceResponse.start_instances": "self",
    "moto.ec2.responses.instances.InstanceResponse.stop_instances": "self",
    "moto.ec2.responses.launch_templates.LaunchTemplates.create_launch_template": "self",
    "moto.ec2.responses.launch_templates.LaunchTemplates.create_launch_template_version": "self",
    "moto.ec2.responses.launch_templates.LaunchTemplates.delete_launch_template": "self",
    "moto.ec2.responses.launch_templates.LaunchTemplates.describe_launch_template_versions": "self",
    "moto.ec2.responses.launch_templates.LaunchTemplates.describe_launch_templates": "self",
    "moto.ec2.responses.launch_templates.LaunchTemplates.modify_launch_template": "self",
    "moto.iam.models.IAMBackend._init_aws_policies": "self",
    "moto.iam.responses.IamResponse.create_user": "self",
    "moto.iam.models.IAMBackend.create_role": (
        "self, role_name, assume_role_policy_document, path, permissions_boundary, description, tags, max_session_duration, linked_service"
    ),
    "moto.iam.models.IAMBackend.delete_policy": "self, policy_arn",
    "moto.iam.models.IAMBackend.put_role_permissions_boundary": "self, role_name, permissions_boundary",
    "moto.kms.models.KmsBackend.list_grants": "self, key_id, grant_id",
    "moto.logs.models.LogsBackend.list_tags_for_resource": "self, resource_arn",
    "moto.logs.models.LogsBackend.put_retention_policy": "self, log_group_name, retention_in_days",
    "moto.secretsmanager.models.SecretsManagerBackend._check_with_existing_secrets_and_versions": (
        "self, secret_name, client_request_token, secret_string, secret_binary, on_create"
    ),
    "moto.servicequotas.models.ServiceQuotasBackend.get_service_quota": "self, service_code, quota_code",
    "moto.servicequotas.models.ServiceQuotasBackend.list_aws_default_service_quotas": "self, service_code",
    "moto.sts.models.STSBackend.get_caller_identity": "self, access_key_id, region",
}

RELIED_ON: dict[str, tuple[str, str]] = {
    "moto.core.responses.ActionResult.execute_result": (
        "6333faa349b5",
        "it takes the picker by the name that install() replaces",
    ),
    "moto.core.serialize.AttributePicker.__call__": (
        "c15da8ec29c1",
        "ours does the same with a memory",
    ),
    "moto.ec2.models.EC2Backend.__init__": (
        "6103843efe4c",
        "it calls create_default_vpc when there is no network, and keeps the answer as default_vpc",
    ),
    "moto.ec2.models.amis.AmiBackend.__init__": (
        "4e560d0a58c8",
        "it calls _load_amis",
    ),
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
    "moto.ec2.models.instances.Instance.start": (
        "59967ab3c8e7",
        "it gives a public address; ours says when",
    ),
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
    "moto.core.responses.BaseResponse.parse_parameters": (
        "fd3d04c91948",
        "the trace parses requests the same way",
    ),
    "moto.moto_server.werkzeug_app.create_backend_app": (
        "a317751ebd1c",
        "it takes routes from urls.url_paths, which install() replaces",
    ),
    "moto.moto_server.werkzeug_app.DomainDispatcherApplication.__call__": (
        "7b12179deced",
        "the server calls it for every AWS request",
    ),
    "moto.iam.models.IAMBackend.__init__": (
        "0aab2d3a734f",
        "it calls _init_aws_policies",
    ),
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

#: Where install() puts our response classes.
ROUTES = {"moto.autoscaling.urls": "{0}/$", "moto.ec2.urls": "{0}/", "moto.iam.urls": "{0}/$"}


def parameters(function: Any) -> str:
    """A function's parameters, by name."""
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(stars.get(p.kind, "") + p.name for p in inspect.signature(function).parameters.values())


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


def overridden(ours: type) -> dict[str, Any]:
    """The functions of moto's that a class of ours hides, by path."""
    hidden: dict[str, Any] = {}
    for position, owner in enumerate(ours.__mro__):
        if not owner.__module__.startswith("localcloud"):
            continue
        for name, value in vars(owner).items():
            if not inspect.isfunction(plain(value)):
                continue
            for base in ours.__mro__[position + 1 :]:
                if base.__module__.startswith("moto") and inspect.isfunction(plain(vars(base).get(name))):
                    hidden[f"{base.__module__}.{base.__name__}.{name}"] = plain(vars(base)[name])
                    break
    return hidden


def test_moto_is_the_version_that_localcloud_was_written_for() -> None:
    assert moto.__version__ == MOTO, (
        f"moto is {moto.__version__}, localcloud was written for {MOTO}: run this file's other tests, look at what they "
        "name, run all of localcloud/tests/unit, then raise MOTO here and the pin in the requirements"
    )


@pytest.mark.parametrize("path", OVERRIDDEN)
def test_what_ours_overrides_still_has_its_shape(path: str) -> None:
    now = parameters(found(path))
    assert now == OVERRIDDEN[path], (
        f"{path} now takes ({now}), no longer ({OVERRIDDEN[path]}): look at the method of the same name in localcloud, "
        "which replaces it, then correct OVERRIDDEN"
    )


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.__name__)
def test_nothing_of_motos_is_overridden_that_this_file_does_not_list(ours: type) -> None:
    unlisted = sorted(set(overridden(ours)) - set(OVERRIDDEN))
    assert not unlisted, f"{ours.__name__} replaces {', '.join(unlisted)}: list it in OVERRIDDEN with its parameters"


def test_nothing_is_listed_that_ours_no_longer_overrides() -> None:
    replaced = {path for ours in OURS for path in overridden(ours)}
    assert not sorted(set(OVERRIDDEN) - replaced)


@pytest.mark.parametrize("path", RELIED_ON)
def test_what_ours_relies_on_is_unchanged(path: str) -> None:
    expected, reason = RELIED_ON[path]
    now = fingerprint(found(path))
    assert now == expected, (
        f"the body of {path} has changed ({now}, was {expected}); ours relies on it because {reason}: read it, try "
        "localcloud/tests/unit, then correct RELIED_ON"
    )


@pytest.mark.parametrize(("owner", "action"), ADDED)
def test_moto_still_lacks_what_ours_adds(owner: str, action: str) -> None:
    assert not hasattr(found(owner), action), f"moto now has {owner}.{action}: see whether ours can go"


@pytest.mark.parametrize("module", ROUTES)
def test_our_classes_stand_where_moto_looks_for_its_own(module: str) -> None:
    world.install()
    handlers = importlib.import_module(module).url_paths
    assert list(handlers) == [ROUTES[module]]
    assert handlers[ROUTES[module]].__self__.__module__.startswith("localcloud.")


def test_a_changed_shape_would_be_noticed() -> None:
    assert parameters(lambda self, *rest, key=1, **more: None) == "self, *rest, key, **more"
    assert fingerprint(parameters) != fingerprint(fingerprint)
    assert overridden(ec2.Image).keys() == {
        "moto.ec2.models.amis.Ami.__init__",
        "moto.ec2.models.amis.Ami.block_device_mappings",
    }
