"""The registry behind ECR's own name: the OCI Distribution API over the repositories of ECR's API.

Repositories, images and tags are those of ECR's API; only the content of layers lies in a folder. Each request needs
what ECR's does (ECR UG, "Pushing an image", "IAM permissions for pulling"): a valid token, and, where IAM is enforced,
the permission of the action that the request amounts to. Errors have ECR's words.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from moto.core.exceptions import ServiceException
from moto.core.request import Request
from moto.ecr.models import ecr_backends
from werkzeug.wsgi import get_input_stream

from localcloud.authorization.guard import Guard
from localcloud.calls import Call
from localcloud.ecr.tokens import BadToken, ExpiredToken
from localcloud.faults import Faults
from localcloud.server.faults import Fault
from localcloud.server.trace import Trace

NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHUNK = 1 << 20
#: What a manifest may have (Docker's registry has the same limit).
MANIFEST_BYTES = 4 << 20
#: Method and path -> the action that ECR checks and records (ECR UG, "Logging Amazon ECR actions with CloudTrail").
ROUTES: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (method, re.compile(f"/v2/{NAME}/{path}"), action)
    for method, path, action in (
        ("GET HEAD", r"manifests/(?P<reference>[^/]+)", "BatchGetImage"),
        ("PUT", r"manifests/(?P<reference>[^/]+)", "PutImage"),
        ("GET", r"blobs/(?P<digest>sha256:[0-9a-f]{64})", "GetDownloadUrlForLayer"),
        ("HEAD", r"blobs/(?P<digest>sha256:[0-9a-f]{64})", "BatchCheckLayerAvailability"),
        ("POST", r"blobs/uploads/?", "InitiateLayerUpload"),
        ("PATCH", r"blobs/uploads/(?P<upload>[0-9a-f-]{36})", "UploadLayerPart"),
        ("PUT", r"blobs/uploads/(?P<upload>[0-9a-f-]{36})", "CompleteLayerUpload"),
        ("GET", r"tags/list", "ListImages"),
    )
)
StartResponse = Callable[..., Any]


class Refused(Exception):
    """An answer that is an error: HTTP status line, the specification's code, ECR's words."""

    def __init__(self, status: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Answer(NamedTuple):
    """HTTP status line, headers, and the content: bytes, or a file."""

    status: str
    headers: dict[str, str]
    content: bytes | Path = b""


class Distribution:
    """The WSGI application of a registry.

    Args:
        world: whose ECR it belongs to.
        guard, faults, trace: the API's; a request is a call of ECR to them.
        account, region: of its repositories.
        folder: for layers; it is made, and emptied at the start.
    """

    def __init__(
        self, world: Any, guard: Guard, faults: Faults[Fault], trace: Trace, account: str, region: str, folder: Path
    ) -> None:
        self._world, self._guard, self._faults, self._trace = world, guard, faults, trace
        self._account, self._region, self._folder = account, region, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began, call = time.perf_counter(), Call("ecr", "", {})
        try:
            action, parts = _route(environ)
            call = Call("ecr", action, {"repositoryName": parts["name"]} if parts else {})
            self._strike(call)
            self._admit(call, environ)
            answer = getattr(self, f"_{_snake(action)}")(environ, **parts) if parts else _version()
            error = None
        except Refused as refused:
            errors = [{"code": refused.code, "message": refused.message}]
            headers = {"Content-Type": "application/json"}
            if refused.status.startswith("401"):
                headers["WWW-Authenticate"] = (
                    f'Basic realm="https://{environ["HTTP_HOST"]}/",service="ecr.amazonaws.com"'
                )
            answer, error = Answer(refused.status, headers, json.dumps({"errors": errors}).encode()), refused.code
        if call.action and self._trace.active:
            self._trace.write(call, int(answer.status[:3]), error, 1000 * (time.perf_counter() - began))
        content = answer.content
        length = content.stat().st_size if isinstance(content, Path) else len(content)
        headers = {"Content-Length": str(length), **answer.headers, "Docker-Distribution-Api-Version": "registry/2.0"}
        start_response(answer.status, list(headers.items()))
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return _chunks(content) if isinstance(content, Path) else [content]

    def _strike(self, call: Call) -> None:
        """A fault on demand; "lost" closes the connection."""
        fault = self._faults.match(lambda fault: fault.applies_to(call)) if call.action else None
        if fault is None:
            return
        time.sleep(fault.milliseconds / 1000)
        if fault.kind == "lost":
            raise ConnectionAbortedError("lost by a fault on demand")
        if fault.kind != "latency":
            status, code, message = fault.answer("ecr")
            if fault.kind == "throttle":
                raise Refused("429 Too Many Requests", "TOOMANYREQUESTS", message)
            raise Refused(status, code, message)

    def _admit(self, call: Call, environ: dict[str, Any]) -> None:
        """Who asks, and whether they may."""
        scheme, _, encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            if scheme.lower() != "basic":
                raise BadToken
            holder = self._world.registry_tokens.read(user, password, self._world.clock.now())
        except ExpiredToken:
            words = "Your authorization token has expired. Reauthenticate and try again."
            raise Refused("403 Forbidden", "DENIED", words) from None
        except (BadToken, binascii.Error, UnicodeDecodeError):
            raise Refused("401 Unauthorized", "UNAUTHORIZED", "Not Authorized") from None
        if not call.action:
            return
        with self._world.entered():
            request = Request({**environ, "wsgi.input": None})
            refusal = self._guard.refuse(call, request, holder.key, holder.session, self._region)
        if refusal:
            raise Refused("403 Forbidden", "DENIED", refusal.message)

    # --- what requests do; each is named after ECR's action ---------------------------------------------------------

    def _batch_get_image(self, environ: dict[str, Any], name: str, reference: str) -> Answer:
        with self._world.entered():
            image = self._image(self._repository(name), reference)
            content = image.image_manifest.encode()
            headers = {"Content-Type": image.image_manifest_media_type, "Docker-Content-Digest": image.image_digest}
        return Answer("200 OK", headers, content)

    def _put_image(self, environ: dict[str, Any], name: str, reference: str) -> Answer:
        content = get_input_stream(environ).read(MANIFEST_BYTES + 1)
        if len(content) > MANIFEST_BYTES:
            raise Refused("400 Bad Request", "MANIFEST_INVALID", "The manifest is too large")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        tag = None if DIGEST.fullmatch(reference) else reference
        if tag is None and reference != digest:
            raise Refused("400 Bad Request", "DIGEST_INVALID", f"The manifest's digest is {digest}")
        try:
            text = content.decode()
            manifest = json.loads(text)
            parts = (
                [part["digest"] for part in (manifest["config"], *manifest["layers"])] if "layers" in manifest else []
            )
        except (ValueError, KeyError, TypeError):
            raise Refused("400 Bad Request", "MANIFEST_INVALID", "The manifest is not valid") from None
        with self._world.entered():
            repository = self._repository(name)
            if missing := [part for part in parts if part not in repository.layers]:
                words = f"Layers with digests '{', '.join(missing)}' required for pushing image do not exist"
                raise Refused("400 Bad Request", "MANIFEST_BLOB_UNKNOWN", words)
            held = next((image for image in repository.images if image.image_digest == digest), None)
            if held is None or (tag and tag not in held.image_tags):
                media_type = environ.get("CONTENT_TYPE") or manifest.get("mediaType")
                try:
                    backend = ecr_backends[self._account][self._region]
                    backend.put_image(name, text, tag, media_type, digest)  # type: ignore[arg-type]  # moto takes None
                except ServiceException as problem:
                    raise Refused("400 Bad Request", "TAG_INVALID", problem.message) from None
        location = f"/v2/{name}/manifests/{digest}"
        return Answer("201 Created", {"Location": location, "Docker-Content-Digest": digest})

    def _get_download_url_for_layer(self, environ: dict[str, Any], name: str, digest: str) -> Answer:
        with self._world.entered():
            if digest not in self._repository(name).layers:
                raise Refused("404 Not Found", "BLOB_UNKNOWN", f"The layer '{digest}' does not exist in '{name}'")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        return Answer("200 OK", headers, self._blob(digest))

    _batch_check_layer_availability = _get_download_url_for_layer

    def _initiate_layer_upload(self, environ: dict[str, Any], name: str) -> Answer:
        with self._world.entered():
            self._repository(name)
        upload = str(uuid.uuid4())
        self._upload(upload).touch()
        return Answer("202 Accepted", _progress(name, upload, 0))

    def _upload_layer_part(self, environ: dict[str, Any], name: str, upload: str) -> Answer:
        return Answer("202 Accepted", _progress(name, upload, self._append(environ, upload)))

    def _complete_layer_upload(self, environ: dict[str, Any], name: str, upload: str) -> Answer:
        size, file = self._append(environ, upload), self._upload(upload)
        digest = Request({**environ, "wsgi.input": None}).args.get("digest", "")
        with file.open("rb") as content:
            found = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
        if digest != found:
            file.unlink()
            raise Refused("400 Bad Request", "DIGEST_INVALID", f"The layer's digest is {found}, not {digest}")
        file.rename(self._blob(digest))
        with self._world.entered():
            self._repository(name).layers[digest] = size
        return Answer("201 Created", {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _list_images(self, environ: dict[str, Any], name: str) -> Answer:
        with self._world.entered():
            tags = sorted({tag for image in self._repository(name).images for tag in image.image_tags})
        return Answer("200 OK", {"Content-Type": "application/json"}, json.dumps({"name": name, "tags": tags}).encode())

    # --- its parts --------------------------------------------------------------------------------------------------

    def _repository(self, name: str) -> Any:
        found = ecr_backends[self._account][self._region].repositories.get(name)
        if found is None:
            words = f"The repository with name '{name}' does not exist in the registry with id '{self._account}'"
            raise Refused("404 Not Found", "NAME_UNKNOWN", words)
        return found

    @staticmethod
    def _image(repository: Any, reference: str) -> Any:
        for image in repository.images:
            if reference in (image.image_digest, *image.image_tags):
                return image
        raise Refused("404 Not Found", "MANIFEST_UNKNOWN", "Requested image not found")

    def _blob(self, digest: str) -> Path:
        return self._folder / digest.replace(":", "-")

    def _upload(self, upload: str) -> Path:
        return self._folder / f"upload-{upload}"

    def _append(self, environ: dict[str, Any], upload: str) -> int:
        """Add the request's content to an upload; its size now."""
        file = self._upload(upload)
        if not file.exists():
            raise Refused("404 Not Found", "BLOB_UPLOAD_UNKNOWN", f"The upload '{upload}' does not exist")
        content = get_input_stream(environ)
        with file.open("ab") as target:
            while chunk := content.read(CHUNK):
                target.write(chunk)
            return target.tell()


def _route(environ: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The action that a request amounts to, with the parts of its path; "" asks whether this is a registry.

    Raises:
        Refused: it amounts to none.
    """
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
    if path.rstrip("/") == "/v2":
        return "", {}
    for methods, pattern, action in ROUTES:
        if method in methods.split() and (found := pattern.fullmatch(path)):
            return action, found.groupdict()
    raise Refused("405 Method Not Allowed", "UNSUPPORTED", "The operation is unsupported.")


def _version() -> Answer:
    return Answer("200 OK", {"Content-Type": "application/json"}, b"{}")


def _progress(name: str, upload: str, size: int) -> dict[str, str]:
    return {
        "Location": f"/v2/{name}/blobs/uploads/{upload}",
        "Range": f"0-{max(size - 1, 0)}",
        "Docker-Upload-UUID": upload,
    }


def _snake(action: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            yield chunk
