#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: worker_registry_info
version_added: 0.1.0
short_description: Read the worker registry
description:
  - Reads the table in which workers register themselves, from PostgreSQL or through a pooler in any mode, in one
    read-only transaction.
  - Returns each heartbeat's age by the database's own clock, and separates rows that no worker would have written.
  - Writes nothing, and reports whether its user could. A user that is meant to read should not be able to.
author:
  - WeKruit (@WeKruit)
options:
  dsn:
    description:
      - The database's connection string, C(postgresql://user:password@host:port/database?sslrootcert=...) or
        C(host=... dbname=...).
      - libpq takes what is missing from its environment and files, such as a password from C(~/.pgpass).
    type: str
  host:
    description: The database's host. This and the following options override O(dsn).
    type: str
  port:
    description: Its port. PostgreSQL's is 5432, that of Supabase's pooler in transaction mode 6543.
    type: int
  database:
    description: The database's name.
    type: str
  user:
    description: The user. Use one that may only read.
    type: str
  password:
    description: The user's password.
    type: str
  sslmode:
    description:
      - V(verify-full) encrypts and verifies the server's certificate and name, V(verify-ca) the certificate only,
        V(require) nothing.
      - By default O(dsn) states it, and if it does not, it is V(verify-full).
    type: str
    choices: [disable, require, verify-ca, verify-full]
  sslrootcert:
    description: File with the certificate authorities to trust for the server. By default the system's.
    type: path
  table:
    description: The table, as C(schema.table) if the user's search path does not contain its schema. Case-sensitive.
    type: str
    default: gh_worker_registry
  include_offline:
    description: Also return workers that are offline.
    type: bool
    default: false
  connect_timeout:
    description: How long to wait for a connection, in seconds, for each address of the host.
    type: int
    default: 10
  statement_timeout:
    description: How long a statement may run, in seconds. A connection that is silent for twice as long is closed.
    type: int
    default: 10
  fail:
    description: Fail if the registry cannot be read. If V(false), RV(reachable) and RV(error) report it.
    type: bool
    default: true
attributes:
  check_mode:
    description: It changes nothing.
    support: full
  diff_mode:
    description: It has no diff.
    support: none
requirements:
  - psycopg >= 3.2 with libpq (C(pip install "psycopg[binary]") installs both)
"""

EXAMPLES = r"""
- name: Ask the registry, its address kept in the environment
  wekruit.ghosthands.worker_registry_info:
    dsn: "{{ lookup('ansible.builtin.env', 'GH_REGISTRY_DSN') }}"
  register: registry

- name: No worker has been silent for five minutes
  ansible.builtin.assert:
    that: registry.rows | selectattr('heartbeat_age_seconds', '>', 300) | length == 0

- name: The same, its address kept in a file and its password in a vault
  wekruit.ghosthands.worker_registry_info:
    dsn: "{{ lookup('ansible.builtin.file', '~/.config/registry.dsn') }}"
    password: "{{ vault_registry_password }}"
    fail: false
"""

RETURN = r"""
reachable:
  description: Whether the registry could be read.
  returned: always
  type: bool
error:
  description: Why it could not be read and what to do, one sentence. Empty if it could.
  returned: always
  type: str
now:
  description: The database's time, ISO 8601, UTC. Empty if the registry could not be read.
  returned: always
  type: str
rows:
  description: The workers, by id.
  returned: always
  type: list
  elements: dict
  contains:
    worker_id:
      description: The worker.
      type: str
    status:
      description: V(active), V(draining) or V(offline).
      type: str
    target_worker_id:
      description: The worker that it replaces, if any.
      type: str
    ec2_instance_id:
      description: Its instance, null if the worker does not know it.
      type: str
    ec2_ip:
      description: Its address, null if the worker does not know it.
      type: str
    current_job_id:
      description: The job that it works on, if any.
      type: str
    registered_at:
      description: ISO 8601, UTC.
      type: str
    last_heartbeat:
      description: ISO 8601, UTC.
      type: str
    jobs_completed:
      description: How many jobs it has finished.
      type: int
    jobs_failed:
      description: How many of its jobs failed.
      type: int
    heartbeat_age_seconds:
      description: How long ago the heartbeat was, by the database's clock.
      type: float
broken:
  description:
    - One sentence for each row that no worker would have written, such as one with an unknown status.
    - These rows are not in RV(rows).
  returned: always
  type: list
  elements: str
  sample: ["worker 'w-1': status is 'ready', none of active, draining, offline"]
may_write:
  description: Whether the user could write to the table. Null if the registry could not be read.
  returned: always
  type: bool
row_security:
  description:
    - Whether row-level security applies to the user, so that rows may be hidden from it.
    - Null if the registry could not be read.
  returned: always
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import postgres
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import registry

OPTIONS: dict[str, dict[str, Any]] = {
    "dsn": {"type": "str", "no_log": True},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "database": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "sslmode": {"type": "str", "choices": ["disable", "require", "verify-ca", "verify-full"]},
    "sslrootcert": {"type": "path"},
    "table": {"type": "str", "default": "gh_worker_registry"},
    "include_offline": {"type": "bool", "default": False},
    "connect_timeout": {"type": "int", "default": 10},
    "statement_timeout": {"type": "int", "default": 10},
    "fail": {"type": "bool", "default": True},
}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Read the registry. The result has the same keys whether that worked or not."""
    p = module.params
    parts = {name: p[name] for name in ("host", "user", "password", "sslmode", "sslrootcert")}
    parts |= {"dbname": p["database"], "port": None if p["port"] is None else str(p["port"])}
    try:
        where = postgres.parameters(p["dsn"] or "", parts)
        reading = postgres.read(where, p["table"], p["include_offline"], p["connect_timeout"], p["statement_timeout"])
    except postgres.RegistryError as error:
        return registry.failure(str(error))
    return registry.result(reading.now, reading.rows, reading.may_write, reading.row_security)


def main() -> None:
    """Run by Ansible."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    result = run(module)
    if module.params["fail"] and not result["reachable"]:
        module.fail_json(msg=result["error"], **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
