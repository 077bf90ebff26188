"""docker's login at the worker image's registry: a config.json in its own directory, with the login itself in it.

The deploy server mounts that directory and reads `auths`, without a credential helper. A token of ECR is valid for 12
hours.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

from .aws import Account
from .background import Background
from .files import SECRET, replace
from .paths import Paths
from .ports import Refused, Task

#: ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn], and dual stack's ACCOUNT.dkr-ecr[-fips].REGION.on.aws (Amazon ECR
#: User Guide, "Private registry"; General Reference, "Amazon ECR endpoints and quotas").
ECR = re.compile(
    r"\d{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.(?:aws|amazonwebservices\.com\.cn))"
)


def host(image: str) -> str | None:
    """The registry's host (and port) in an image reference; None without one, which means Docker Hub."""
    first, slash, _rest = image.partition("/")
    return first if slash and re.search(r"[.:]|^localhost$", first) else None


def ecr_region(image: str) -> str | None:
    """The region of the ECR registry in an image reference; None: the registry is not ECR, and gets no login."""
    found = ECR.fullmatch(host(image) or "")
    return found[1] if found else None


class EcrRegistry:
    """ports.Registry."""

    def __init__(self, account: Account, paths: Paths, image: str) -> None:
        self._account, self._file, self._image = account, paths.docker_config / "config.json", image
        self._background = Background("registry")

    def login(self) -> Task[None]:
        """See ports.Registry."""
        return self._background.begin(self.write_login)

    def write_login(self) -> None:
        """Write a fresh login, unless the image's registry is not ECR. Raises Unavailable, Refused."""
        if (region := ecr_region(self._image)) is None:
            return
        token = self.token(region)
        text = json.dumps({"auths": {host(self._image): {"auth": token}}}, indent=2)
        replace(self._file, text + "\n", SECRET)

    def token(self, region: str) -> str:
        """A login in the form of `auths`: base64 of `AWS:password`. Raises Unavailable, Refused."""
        answer = self._account.call("ecr", "get_authorization_token", region=region, slow=True)
        try:
            token = answer["authorizationData"][0]["authorizationToken"]
            if not base64.b64decode(token, validate=True).startswith(b"AWS:"):
                raise ValueError
        except (LookupError, TypeError, ValueError, binascii.Error):
            raise Refused("ecr:get_authorization_token", "wrong shape") from None
        return str(token)
