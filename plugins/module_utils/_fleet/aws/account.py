# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One account, many questions at once. The only place besides the modules that knows botocore."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import CannotAsk

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
ATTEMPTS = 5  # of a call that is throttled or not answered
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
UNTRUSTED = {
    *(
        "InvalidClientTokenId",
        "AuthFailure",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "ExpiredToken",
    ),
    *("ExpiredTokenException", "RequestExpired"),
}


class AccountError(CannotAsk):
    """The account cannot be asked. The text says why, and what to do."""


class Account:
    """The account behind one set of credentials, in one region.

    :param region: a region's name; refused where botocore does not know it.
    :param profile: a profile of the AWS configuration; empty means the environment's credentials.
    :param attempts: how often a call is tried.
    :raises AccountError: from here and from `call`.
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
            raise AccountError(
                "Ansible's Python has no botocore. Install it beside Ansible: python -m pip install boto3"
            )
        self.region = region
        self.calls = 0
        self._session = botocore.session.Session(profile=profile or None)
        self._endpoint = endpoint_url or None
        self._clients: dict[str, Any] = {}
        self._answers: dict[Any, tuple[threading.Lock, list[Any]]] = {}
        self._lock = threading.Lock()
        self._making = threading.Lock()  # a session makes one client at a time
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
                raise AccountError(f"fleet_region {region!r} is no AWS region. {_nearest(region, known)}")
            if self._session.get_credentials() is None:
                raise NoCredentialsError
        except BotoCoreError as error:
            raise AccountError(self._explained(error)) from None

    def _regions(self) -> list[str]:
        # STS is where EC2 is, and its model is read in a tenth of the time.
        return sorted(
            {r for p in self._session.get_available_partitions() for r in self._session.get_available_regions("sts", p)}
        )

    def start(self, question: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run `question(*arguments)` beside the others."""
        return self._pool.submit(question, *arguments)

    def call(
        self, service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        """AWS's answer, or its part `key`; None where AWS answers with a code in `absent`. The same question is asked once.

        A question that waits for the same one holds no place that the other needs, so threads cannot wait for each other in a ring.
        """
        with self._lock:
            lock, answer = self._answers.setdefault(
                (service, operation, repr(sorted(request.items()))), (threading.Lock(), [])
            )
        with lock:
            if not answer:
                try:
                    answer.append(
                        _file(**request) if service == "file" else self._ask(service, operation, absent, request)
                    )
                except AccountError as problem:
                    answer.append(problem)
        found = answer[0]
        if isinstance(found, AccountError):
            raise found
        return found.get(key) if key and found is not None else found

    def tell(self, service: str, operation: str, **request: Any) -> Any:
        """Ask anew, or change something: nothing is remembered."""
        return self._ask(service, operation, (), request)

    def _ask(self, service: str, operation: str, absent: tuple[str, ...], request: dict[str, Any]) -> Any:
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
            raise AccountError(self._explained(error, service, operation)) from None
        except BotoCoreError as error:
            raise AccountError(self._explained(error, service, operation)) from None

    def _client(self, service: str) -> Any:
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._session.create_client(
                    service, region_name=self.region, endpoint_url=self._endpoint, config=self._config
                )
            return self._clients[service]

    def _explained(self, error: Exception, service: str = "", operation: str = "") -> str:
        """One sentence on what is wrong and one on what to do."""
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            return "No AWS credentials found. Log in (aws sso login), set AWS_PROFILE or fleet_profile, or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
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
        if isinstance(error, ClientError):
            code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code in DENIED:
                return f"These credentials may not call {service}:{_api_name(operation)} ({said}). Let them, or use others (fleet_profile, AWS_PROFILE)."
            if code in UNTRUSTED:
                return f"AWS does not accept these credentials ({code}: {said}). Log in again, or use others (fleet_profile, AWS_PROFILE)."
            return f"{service}:{_api_name(operation)} in {self.region} failed with {code}: {said}"
        return f"{service}:{_api_name(operation)} in {self.region} failed: {error}" if service else str(error)


def _api_name(operation: str) -> str:
    return "".join(word.title() for word in operation.split("_"))


def _nearest(region: str, known: list[str]) -> str:
    import difflib  # only on this way out

    near = difflib.get_close_matches(region, known, 3)
    return f"Did you mean {' or '.join(near)}?" if near else "Write one such as us-east-1."


def _file(path: str) -> dict[str, Any] | None:
    """What stands on this machine under `path`, in the words of ansible.builtin.copy and ansible.builtin.file."""
    place = Path(path)
    if not place.exists():
        return None
    found: dict[str, Any] = {
        "state": "directory" if place.is_dir() else "file",
        "mode": f"{place.stat().st_mode & 0o7777:04o}",
    }
    if place.is_file():
        found["content"] = place.read_text(encoding="utf-8", errors="replace")
    return found
