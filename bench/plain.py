"""The API calls on standard input, made with plain boto3, sequentially or in threads."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """`plain.py THREADS`; standard input is a JSON list of [service, method, parameters, whether it has to succeed]."""
    calls: list[tuple[str, str, dict[str, Any], bool]] = json.load(sys.stdin)
    clients = {service: boto3.client(service) for service in sorted({c[0] for c in calls})}

    def make(call: tuple[str, str, dict[str, Any], bool]) -> None:
        service, method, parameters, has_to_succeed = call
        try:
            getattr(clients[service], method)(**parameters)
        except ClientError:
            if has_to_succeed:
                raise

    with ThreadPoolExecutor(int(sys.argv[1])) as pool:
        list(pool.map(make, calls))


if __name__ == "__main__":
    main()
