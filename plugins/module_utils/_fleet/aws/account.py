# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One AWS account, called by many threads at once. Only this file and the modules import botocore."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError

try:
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        SSOTokenLoadError,
        TokenRetrievalError,
        UnauthorizedSSOTokenError,
    )

    HAS_BOTOCORE = True
except ImportError:  # ansible-test imports every plugin without it
    HAS_BOTOCORE = False

THREADS = 16  # measured: 1 thread takes twice as long as 16, 4 take 1.16, 32 gain nothing
ATTEMPTS = 5  # of a call that is throttled, or gets no response
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
BAD_CREDENTIALS = {
    "InvalidClientTokenId",
    "AuthFailure",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
}


class Account:
    """The account behind one set of credentials, in one region.

    :param region: a region's name that botocore knows.
    :param endpoint_url: empty: AWS's own.
    :param profile: a profile of the AWS configuration; empty: the environment's credentials.
    :param attempts: how often a call is tried.
    :raises AwsError: from here and from the calls.
    """

    def __init__(
        self,
        region: str,
        endpoint_url: str = "",
        profile: str = "",
        access_key: str = "",
        secret_key: str = "",
        *,
        attempts: int = ATTEMPTS,
    ) -> None:
        if not HAS_BOTOCORE:
            raise AwsError("Ansible's Python has no botocore. Install it beside Ansible: python -m pip install boto3")
        self.region = region
        self.calls = 0
        self._session = botocore.session.Session(profile=profile or None)
        self._endpoint = endpoint_url or None
        self._clients: dict[str, Any] = {}
        self._responses: dict[Any, tuple[threading.Lock, list[Any]]] = {}
        self._lock = threading.Lock()
        self._creating = threading.Lock()  # a session creates one client at a time
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="account")
        self._config = Config(
            max_pool_connections=THREADS,
            retries={"mode": "standard", "max_attempts": attempts},
            connect_timeout=10,
            read_timeout=30,
        )
        try:
            if access_key:
                self._session.set_credentials(access_key, secret_key)
            if region not in (known := self._regions()):
                raise AwsError(f"fleet_region {region!r} is not an AWS region. {_nearest(region, known)}")
            if self._session.get_credentials() is None:
                raise NoCredentialsError
        except BotoCoreError as error:
            raise AwsError(self._explained(error)) from None

    def _regions(self) -> list[str]:
        # STS has the same regions as EC2, and its model loads in a tenth of the time.
        return sorted(
            {r for p in self._session.get_available_partitions() for r in self._session.get_available_regions("sts", p)}
        )

    def start(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run `function(*arguments)` in another thread."""
        return self._pool.submit(function, *arguments)

    def call(
        self, service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        """As `facts.aws_call.Call`; the same request is sent once, and its response (or error) kept.

        A thread that waits for another's response holds nothing that the other needs, so there is no deadlock.
        """
        with self._lock:
            which = (service, operation, repr(sorted(request.items())))
            lock, response = self._responses.setdefault(which, (threading.Lock(), []))
        with lock:
            if not response:
                try:
                    response.append(self._send(service, operation, absent, request))
                except AwsError as error:
                    response.append(error)
        if isinstance(response[0], AwsError):
            raise response[0]
        return _part(response[0], key)

    def call_now(
        self, service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        """As `facts.aws_call.Call`, sent every time: to see a change, or to change something."""
        return _part(self._send(service, operation, absent, request), key)

    def _send(self, service: str, operation: str, absent: tuple[str, ...], request: dict[str, Any]) -> Any:
        try:
            client = self._client(service)
            with self._lock:
                self.calls += 1
            if client.can_paginate(operation):
                return client.get_paginator(operation).paginate(**request).build_full_result()
            return getattr(client, operation)(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] in absent:
                return None
            raise AwsError(self._explained(error, service, operation), error.response["Error"]["Code"]) from None
        except BotoCoreError as error:
            raise AwsError(self._explained(error, service, operation)) from None

    def _client(self, service: str) -> Any:
        with self._creating:
            if service not in self._clients:
                self._clients[service] = self._session.create_client(
                    service, region_name=self.region, endpoint_url=self._endpoint, config=self._config
                )
            return self._clients[service]

    def _explained(self, error: Exception, service: str = "", operation: str = "") -> str:
        """One sentence on what is wrong, and one on what to do."""
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            return (
                "No AWS credentials found. Log in (aws sso login), set AWS_PROFILE or fleet_profile, "
                "or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        if isinstance(error, ProfileNotFound):
            return f"{error}. fleet_profile (or AWS_PROFILE) has to be a profile of your AWS configuration."
        if isinstance(
            error, (UnauthorizedSSOTokenError, SSOTokenLoadError, TokenRetrievalError, CredentialRetrievalError)
        ):
            return f"The AWS login cannot be used: {error} Log in again (aws sso login)."
        if isinstance(error, EndpointConnectionError):
            where = self._endpoint or os.environ.get("AWS_ENDPOINT_URL")
            remedy = (
                f"fleet_endpoint_url is {where}: start it (python -m localcloud up) or correct it."
                if where
                else "Check the network and fleet_region."
            )
            return f"{error} {remedy}"
        what = f"{service}:{_api_name(operation)}"
        if isinstance(error, ClientError):
            code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            others = "use others (fleet_profile, AWS_PROFILE)."
            if code in DENIED:
                return f"These credentials may not call {what} ({message}). Let them, or {others}"
            if code in BAD_CREDENTIALS:
                return f"AWS does not accept these credentials ({code}: {message}). Log in again, or {others}"
            return f"{what} in {self.region} failed with {code}: {message}"
        return f"{what} in {self.region} failed: {error}" if service else str(error)


def _part(response: Any, key: str | None) -> Any:
    return response.get(key) if key and response is not None else response


def _api_name(operation: str) -> str:
    return "".join(word.title() for word in operation.split("_"))


def _nearest(region: str, known: list[str]) -> str:
    import difflib  # only for this error

    near = difflib.get_close_matches(region, known, 3)
    return f"Did you mean {' or '.join(near)}?" if near else "Write one such as us-east-1."
