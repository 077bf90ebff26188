"""What somebody would write by hand: the calls on standard input, made with boto3, one by one or in threads."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    """`plain.py THREADS`, and on standard input a list of [service, method, parameters, whether it is answered without an error]."""
    calls: list[tuple[str, str, dict[str, Any], bool]] = json.load(sys.stdin)
    clients = {service: boto3.client(service) for service in sorted({c[0] for c in calls})}

    def make(call: tuple[str, str, dict[str, Any], bool]) -> None:
        service, method, parameters, answered = call
        try:
            getattr(clients[service], method)(**parameters)
        except ClientError:
            if answered:
                raise

    with ThreadPoolExecutor(int(sys.argv[1])) as pool:
        list(pool.map(make, calls))


if __name__ == "__main__":
    main()
