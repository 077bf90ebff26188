"""`python tools/demo_image.py ENDPOINT_URL REPOSITORY` pushes a worker image to an ECR repository of localcloud.

It has the tag latest and no layers: the simulated instances of `make demo` pull nothing, but `site.yml` and
`verify.yml` look for the image that a real instance would pull.
"""

from __future__ import annotations

import contextlib
import json
import sys

import boto3

CONFIG = {
    "mediaType": "application/vnd.docker.container.image.v1+json",
    "size": 2,
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",  # of {}
}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": CONFIG,
    "layers": [],
}


def main(endpoint_url: str, repository: str) -> None:
    """Push the image, unless it is there."""
    ecr = boto3.client(
        "ecr",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="localcloud-access-key",
        aws_secret_access_key="localcloud-secret-key",
    )
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(
            repositoryName=repository,
            imageManifest=json.dumps(MANIFEST),
            imageManifestMediaType=MANIFEST["mediaType"],
            imageTag="latest",
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
