"""ECR's API: moto's, with tokens that the registry takes, and images as the registry has them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any, Protocol

from moto.core.responses import ActionResult
from moto.ecr import urls
from moto.ecr.models import ECRBackend
from moto.ecr.models import Image as MotoImage
from moto.ecr.responses import ECRResponse

from localcloud.clock import Clock
from localcloud.ecr.tokens import USER, Tokens

_KEY = re.compile(r"Credential=([^/,\s]+)/")


class Cloud(Protocol):
    """What ECR needs of its world."""

    clock: Clock
    registry_tokens: Tokens


def registry_host(account: str, region: str) -> str:
    """The name of an account's registry in a region (ECR UG, "Amazon ECR private registry concepts")."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com"


class Image(MotoImage):
    """An image with its true digest and size (API, ImageDetail)."""

    def _create_digest(self) -> None:
        self._image_digest = f"sha256:{hashlib.sha256(self.image_manifest.encode()).hexdigest()}"

    def get_image_size_in_bytes(self) -> int | None:
        """The sum of its parts, as they were pushed; None for a list of images."""
        manifest = json.loads(self.image_manifest)
        if "layers" not in manifest:
            return None
        return sum(int(part["size"]) for part in (manifest["config"], *manifest["layers"]))


class EcrBackend(ECRBackend):
    """ECR of one account and region."""

    _url_module = urls

    def __init__(self, region_name: str, account_id: str, cloud: Cloud) -> None:
        super().__init__(region_name, account_id)
        self.cloud = cloud

    def put_image(
        self,
        repository_name: str,
        image_manifest: str,
        image_tag: str,
        image_manifest_mediatype: str | None = None,
        digest: str | None = None,
    ) -> MotoImage:
        """PutImage; an image whose tag goes to another one stays, without it (moto: is deleted)."""
        repository = self.repositories.get(repository_name)
        if repository and image_tag:
            for image in self._resolve_image_tag_mutability(repository, image_tag):
                if image.image_manifest != image_manifest:
                    image.remove_tag(image_tag)
                    image.image_tag = image.image_tags[-1] if image.image_tags else None  # type: ignore[assignment]
        return super().put_image(repository_name, image_manifest, image_tag, image_manifest_mediatype, digest)


class Ecr(ECRResponse):
    """ECR's actions."""

    def get_authorization_token(self) -> ActionResult:
        """GetAuthorizationToken: a token of this caller for each registry that is named, by default the account's."""
        backend: Any = self.ecr_backend
        key = _KEY.search(self.headers.get("Authorization", ""))
        password, expires = backend.cloud.registry_tokens.issue(
            key[1] if key else "", self.headers.get("X-Amz-Security-Token"), backend.cloud.clock.now()
        )
        token = {
            "authorizationToken": base64.b64encode(f"{USER}:{password}".encode()).decode(),
            "expiresAt": datetime.fromtimestamp(expires, UTC),
        }
        registries = self._get_param("registryIds") or [self.current_account]
        return ActionResult(
            {
                "authorizationData": [
                    {**token, "proxyEndpoint": f"https://{registry_host(registry, self.region)}"}
                    for registry in registries
                ]
            }
        )
