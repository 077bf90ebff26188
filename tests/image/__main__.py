"""`python -m tests.image MANIFEST`: boots an image that was built on localcloud (AWS_ENDPOINT_URL) and tests it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.image.bake import images
from tests.image.booted import boot
from tests.image.cloud import ImageCloud
from tests.image.proofs import proofs


def main() -> int:
    """Exit code 1 if a proof fails."""
    cloud = ImageCloud(os.environ["AWS_ENDPOINT_URL"])
    image_id = images(Path(sys.argv[1]))[os.environ["AWS_DEFAULT_REGION"]]
    started = time.monotonic()
    with boot(cloud, image_id) as booted:
        print(f"booted: {image_id} as {booted.id} in {time.monotonic() - started:.1f} s", flush=True)
        failed = 0
        for proof in proofs(image_id, cloud):
            code, output = booted.ssh(proof.script)
            failed += code != 0
            print(
                f"booted: {'ok    ' if code == 0 else 'FAILED'} {proof.name}{f': {output}' if output else ''}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
