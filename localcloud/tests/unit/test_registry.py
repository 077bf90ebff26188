"""The registry behind ECR's name: by HTTP with TLS, as Docker speaks to it, without Docker."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from localcloud.ecr.server import RegistryServer
from localcloud.testing import PROPAGATED, Cloud

REPOSITORY = "ghosthands"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        (error,) = json.loads(self.body)["errors"]
        return dict(error)


class Client:
    """A client of one registry: trusts its authority alone, and connects where its name leads instances to."""

    def __init__(self, cloud: Cloud, server: RegistryServer) -> None:
        self.cloud, self.access = cloud, server.access
        self._context = ssl.create_default_context(cadata=server.access.authority.decode())
        self._context.set_alpn_protocols(["http/1.1"])

    def token(self, **credentials: str) -> str:
        """GetAuthorizationToken's, of a caller; by default the operator."""
        (data,) = self.cloud.client("ecr", **credentials).get_authorization_token()["authorizationData"]
        assert data["proxyEndpoint"] == f"https://{self.access.host}"
        return str(data["authorizationToken"])

    def ask(self, method: str, path: str, token: str = "", body: Any = None, **headers: str) -> Answer:
        """One request; `body` may be an iterable, which is sent in chunks."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.access.port, context=self._context, timeout=20)
        connection._create_connection = lambda *_: __import__("socket").create_connection(  # type: ignore[attr-defined]
            ("127.0.0.1", self.access.port), 20
        )
        connection.host = self.access.host  # what TLS verifies
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Basic {token}"
        connection.request(method, path, body, {"Host": self.access.host, **sent})
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def push_blob(self, token: str, content: bytes, repository: str = REPOSITORY) -> str:
        """Upload in chunks, as Docker does; its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = self.ask("POST", f"/v2/{repository}/blobs/uploads/", token)
        assert begun.status == 202, begun
        half = len(content) // 2
        part = self.ask("PATCH", begun.headers["location"], token, iter([content[:half], content[half:]]))
        assert (part.status, part.headers["range"]) == (202, f"0-{len(content) - 1}")
        done = self.ask("PUT", f"{part.headers['location']}?digest={digest}", token)
        assert (done.status, done.headers["docker-content-digest"]) == (201, digest)
        return digest

    def push(self, token: str, tag: str = "latest", layer: bytes = b"a layer") -> str:
        """An image of one layer; its digest."""
        parts = [{"size": len(one), "digest": self.push_blob(token, one)} for one in (b"{}", layer)]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": parts[0], "layers": parts[1:]}
        content = json.dumps(manifest).encode()
        path = f"/v2/{REPOSITORY}/manifests/{tag}"
        pushed = self.ask("PUT", path, token, content, Content_Type=MANIFEST_TYPE)
        assert pushed.status == 201, pushed
        return pushed.headers["docker-content-digest"]


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A registry with one repository."""
    with Cloud.start_thread() as cloud:
        server = RegistryServer(cloud.application, cloud.folder / "layers")
        cloud.client("ecr").create_repository(repositoryName=REPOSITORY)
        yield Client(cloud, server)
        server.close()


def user(cloud: Cloud, *actions: str) -> dict[str, str]:
    """A user who may do these on the repository, and log in; their credentials."""
    iam = cloud.client("iam")
    iam.create_user(UserName="u")
    statements = [
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {"Effect": "Allow", "Action": list(actions) or ["ecr:ListImages"], "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName="u")["AccessKey"]
    cloud.advance(PROPAGATED)
    cloud.enforce_iam()
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def test_what_was_pushed_is_pulled_byte_for_byte_and_ecr_describes_it(client: Client) -> None:
    token, layer = client.token(), b"x" * 3_000_000
    digest = client.push(token, layer=layer)
    (described,) = client.cloud.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert (described["imageDigest"], described["imageTags"]) == (digest, ["latest"])
    assert described["imageSizeInBytes"] == len(layer) + 2
    for reference in ("latest", digest):
        pulled = client.ask("GET", f"/v2/{REPOSITORY}/manifests/{reference}", token)
        assert (pulled.status, pulled.headers["content-type"]) == (200, MANIFEST_TYPE)
        assert f"sha256:{hashlib.sha256(pulled.body).hexdigest()}" == digest
    (part,) = json.loads(pulled.body)["layers"]
    assert client.ask("GET", f"/v2/{REPOSITORY}/blobs/{part['digest']}", token).body == layer
    assert client.ask("HEAD", f"/v2/{REPOSITORY}/blobs/{part['digest']}", token).headers["content-length"] == "3000000"
    assert json.loads(client.ask("GET", f"/v2/{REPOSITORY}/tags/list", token).body)["tags"] == ["latest"]


def test_a_push_of_the_same_again_changes_nothing_and_one_of_another_takes_the_tag(client: Client) -> None:
    token = client.token()
    first = client.push(token)
    assert client.push(token) == first
    second = client.push(token, layer=b"another")
    images = client.cloud.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert {image["imageDigest"]: image.get("imageTags", []) for image in images} == {first: [], second: ["latest"]}


def test_an_immutable_tag_is_not_moved(client: Client) -> None:
    ecr, token = client.cloud.client("ecr"), client.token()
    ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    client.push(token)
    client.push_blob(token, b"{}")
    other = client.push_blob(token, b"another")
    parts = [{"size": 2, "digest": client.push_blob(token, b"{}")}, {"size": 7, "digest": other}]
    body = json.dumps({"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}).encode()
    refused = client.ask("PUT", f"/v2/{REPOSITORY}/manifests/latest", token, body, Content_Type=MANIFEST_TYPE)
    assert (refused.status, refused.error["code"]) == (400, "TAG_INVALID")


def test_what_is_not_there_is_said_in_ecrs_words(client: Client) -> None:
    token = client.token()
    unknown = client.ask("GET", "/v2/other/manifests/latest", token)
    assert (unknown.status, unknown.error["code"]) == (404, "NAME_UNKNOWN")
    assert "The repository with name 'other' does not exist in the registry" in unknown.error["message"]
    assert client.ask("POST", "/v2/other/blobs/uploads/", token).error["code"] == "NAME_UNKNOWN"
    missing = client.ask("GET", f"/v2/{REPOSITORY}/manifests/none", token)
    assert (missing.status, missing.error["message"]) == (404, "Requested image not found")
    absent = f"sha256:{'0' * 64}"
    assert client.ask("GET", f"/v2/{REPOSITORY}/blobs/{absent}", token).error["code"] == "BLOB_UNKNOWN"
    body = json.dumps({"schemaVersion": 2, "config": {"digest": absent, "size": 1}, "layers": []}).encode()
    refused = client.ask("PUT", f"/v2/{REPOSITORY}/manifests/x", token, body, Content_Type=MANIFEST_TYPE)
    assert (refused.status, refused.error["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_content_that_is_not_what_its_digest_says_is_refused(client: Client) -> None:
    token = client.token()
    begun = client.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/", token).headers["location"]
    wrong = client.ask("PUT", f"{begun}?digest=sha256:{'0' * 64}", token, b"content")
    assert (wrong.status, wrong.error["code"]) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("token", ["", base64.b64encode(b"AWS:guess.ed").decode(), "no base64", "AWS"])
def test_without_a_token_of_this_registry_nothing_is_answered(client: Client, token: str) -> None:
    for path in ("/v2/", f"/v2/{REPOSITORY}/manifests/latest"):
        answer = client.ask("GET", path, token)
        assert (answer.status, answer.error["code"]) == (401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"].startswith('Basic realm="https://')
    other = Client(client.cloud, RegistryServer(client.cloud.application, client.cloud.folder / "other"))
    assert other.ask("GET", "/v2/", client.token()).status == 200, "a second door to the same cloud"


def test_a_token_is_valid_for_twelve_hours(client: Client) -> None:
    token = client.token()
    client.cloud.advance(12 * 3600 - 60)
    assert client.ask("GET", "/v2/", token).status == 200
    client.cloud.advance(61)
    expired = client.ask("GET", "/v2/", token)
    assert (expired.status, expired.error["code"]) == (403, "DENIED")
    assert "Your authorization token has expired" in expired.error["message"]


@pytest.mark.parametrize("missing", [None, *PULL[:2]])
def test_where_iam_is_enforced_a_pull_needs_the_permissions_that_ecrs_documentation_names(
    client: Client, missing: str | None
) -> None:
    digest = client.push(client.token())
    credentials = user(client.cloud, *[action for action in PULL if action != missing])
    token = client.token(**credentials)
    got = client.ask("GET", f"/v2/{REPOSITORY}/manifests/latest", token)
    image = json.loads(client.ask("GET", f"/v2/{REPOSITORY}/manifests/{digest}", client.token()).body)
    layer = client.ask("GET", f"/v2/{REPOSITORY}/blobs/{image['layers'][0]['digest']}", token)
    assert (got.status, layer.status) == (403 if missing == PULL[0] else 200, 403 if missing == PULL[1] else 200)
    if missing:
        (refused,) = (answer for answer in (got, layer) if answer.status == 403)
        assert f"is not authorized to perform: {missing} on resource: arn:aws:ecr:" in refused.error["message"]
    denied = client.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/", token)
    assert (denied.status, denied.error["code"]) == (403, "DENIED")


def test_faults_strike_it_as_calls_of_ecr_and_the_trace_has_it(client: Client) -> None:
    token = client.token()
    client.push(token)
    client.cloud.set_faults(
        {"operation": "ecr:BatchGetImage", "times": 1},
        {"operation": "ecr:BatchGetImage", "kind": "throttle", "times": 1},
    )
    client.cloud.clear_trace()
    answers = [client.ask("GET", f"/v2/{REPOSITORY}/manifests/latest", token).status for _ in range(3)]
    assert answers == [503, 429, 200]
    assert [(call["action"], call["status"]) for call in client.cloud.calls("BatchGetImage")] == [
        ("BatchGetImage", 503),
        ("BatchGetImage", 429),
        ("BatchGetImage", 200),
    ]


def test_what_is_no_request_of_the_specification_is_refused(client: Client) -> None:
    for method, path in (("DELETE", f"/v2/{REPOSITORY}/manifests/latest"), ("GET", "/v1/x"), ("GET", "/v2/_catalog")):
        assert client.ask(method, path, client.token()).error["code"] == "UNSUPPORTED"
