"""The stand-in for Supabase's REST API, asked as supabase-js asks it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import pytest

from tools.real_worker.database import Database
from tools.real_worker.fleet import start_rest
from tools.real_worker.processes import RunFolder
from tools.real_worker.source import bun

FIRST, SECOND = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
SINGLE = {"Accept": "application/vnd.pgrst.object+json"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Answer(NamedTuple):
    status: int
    body: Any


class Rest:
    """A client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/rest/v1/{path}", data, headers or {}, method=method)
        try:
            with _DIRECT.open(request, timeout=10) as answer:
                text = answer.read()
                return Answer(answer.status, json.loads(text) if text else None)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, json.load(refusal))


@pytest.fixture(scope="module")
def started(run_folder: RunFolder, running: Database) -> str:
    return start_rest(run_folder, "tested", bun(), running)


@pytest.fixture
def rest(started: str, database: Database) -> Rest:
    """The stub, on two jobs: one pending, one running with a worker."""
    database.query(
        "INSERT INTO gh_automation_jobs (id, status, worker_id, created_at)"
        f" VALUES ('{FIRST}', 'pending', NULL, '2026-01-01'), ('{SECOND}', 'running', 'i-1', '2026-01-02')"
    )
    return Rest(started)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [row["id"] for row in answer.body]


def test_rows_are_selected_by_filters_in_order(rest: Rest) -> None:
    jobs = "gh_automation_jobs?select=id"
    assert ids(rest("GET", f"{jobs}&order=created_at.desc")) == [SECOND, FIRST]
    assert ids(rest("GET", f"{jobs}&order=created_at.desc&limit=1")) == [SECOND]
    assert ids(rest("GET", f"{jobs}&id=eq.{FIRST}&worker_id=is.null")) == [FIRST]
    assert ids(rest("GET", f"{jobs}&status=neq.pending&worker_id=not.is.null")) == [SECOND]
    assert ids(rest("GET", f'{jobs}&status=in.("pending",queued)&created_at=lt.2026-01-02')) == [FIRST]


def test_one_object_is_asked_for_and_must_be_one(rest: Rest) -> None:
    assert rest("GET", f"gh_automation_jobs?id=eq.{FIRST}", headers=SINGLE).body["status"] == "pending"
    refusal = rest("GET", "gh_automation_jobs?worker_id=eq.nobody", headers=SINGLE)
    assert (refusal.status, refusal.body["code"]) == (406, "PGRST116")


def test_an_update_sets_the_given_columns_of_the_matching_rows(rest: Rest, database: Database) -> None:
    assert (
        rest("PATCH", f"gh_automation_jobs?id=eq.{FIRST}", {"metadata": {"a": [1]}, "status": "failed"}).status == 204
    )
    rows = database.query("SELECT status, metadata, worker_id FROM gh_automation_jobs ORDER BY id")
    assert rows == [("failed", {"a": [1]}, None), ("running", None, "i-1")]


def test_a_changed_row_is_returned_on_request(rest: Rest) -> None:
    prefer = {"Prefer": "return=representation"}
    changed = rest("PATCH", f"gh_automation_jobs?id=eq.{FIRST}&select=id", {"status": "failed"}, prefer)
    assert ids(changed) == [FIRST]


def test_rows_are_inserted_and_merged(rest: Rest, database: Database) -> None:
    merge = {"Prefer": "resolution=merge-duplicates"}
    row = {"id": FIRST, "status": "completed"}
    assert rest("POST", "gh_automation_jobs", row).status == 409
    assert rest("POST", "gh_automation_jobs?on_conflict=id", [row], merge).status == 201
    assert database.query(f"SELECT status FROM gh_automation_jobs WHERE id = '{FIRST}'") == [("completed",)]


def test_rows_are_deleted(rest: Rest, database: Database) -> None:
    assert rest("DELETE", f"gh_automation_jobs?id=eq.{FIRST}").status == 204
    assert database.query("SELECT count(*) FROM gh_automation_jobs") == [(1,)]


def test_functions_are_called_by_parameter_name(rest: Rest, database: Database) -> None:
    database.query("CREATE OR REPLACE FUNCTION add(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a - b'")
    assert rest("POST", "rpc/add", {"b": 2, "a": 5}) == Answer(200, 3)


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("PATCH", f"gh_automation_jobs?id=eq.{FIRST}", {"colour": "red"}, "PGRST204"),
        ("GET", "gh_automation_jobs?status=like.p*", None, "STUB"),
        ("GET", "gh_automation_jobs?metadata->>a=eq.1", None, "STUB"),
        ("PUT", "gh_automation_jobs", {}, "STUB"),
    ],
)
def test_what_it_does_not_know_is_refused(rest: Rest, method: str, path: str, body: Any, code: str) -> None:
    answer = rest(method, path, body)
    assert (answer.status >= 400, answer.body["code"]) == (True, code)
