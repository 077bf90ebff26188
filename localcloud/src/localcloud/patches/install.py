"""Puts our classes where moto looks for its own."""

from __future__ import annotations

from typing import Any

import moto.core.responses
from moto.autoscaling import urls as autoscaling_urls
from moto.core.base_backend import BackendDict
from moto.ec2 import urls as ec2_urls
from moto.ec2.models import ec2_backends
from moto.iam import urls as iam_urls
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.servicequotas.models import servicequotas_backends
from moto.sts.models import sts_backends

from localcloud import services
from localcloud.autoscaling.service import AutoScaling
from localcloud.ec2.service import Ec2, Ec2Backend
from localcloud.iam.service import Iam, IamBackend
from localcloud.patches.picker import Picker

#: moto's holder of a service's state -> the class that it shall make per account and region.
BACKENDS: list[tuple[BackendDict[Any], type]] = [
    (ec2_backends, Ec2Backend),
    (iam_backends, IamBackend),
    (kms_backends, services.Kms),
    (logs_backends, services.Logs),
    (secretsmanager_backends, services.SecretsManager),
    (servicequotas_backends, services.ServiceQuotas),
    (sts_backends, services.Sts),
]


def install() -> None:
    """Route every service that we change to our classes and forget whatever moto's own held in this process."""
    autoscaling_urls.url_paths = {"{0}/$": AutoScaling.dispatch}
    ec2_urls.url_paths = {"{0}/": Ec2.dispatch}
    iam_urls.url_paths = {"{0}/$": Iam.dispatch}
    vars(moto.core.responses)["XFormedAttributePicker"] = Picker
    for holder, ours in BACKENDS:
        holder.backend = ours
        holder.clear()
