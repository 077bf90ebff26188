"""A support bundle has what explains a failure, and nothing of the secret in whatever form it was written down."""

from __future__ import annotations

import base64
import html
import json
import os
import random
import re
import shlex
import stat
import string
import tarfile
import textwrap
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from ghosthands_agent.__main__ import main
from ghosthands_agent.bundle import NoBundle, write_bundle
from ghosthands_agent.environment import INSTANCE_KEYS, environment
from ghosthands_agent.paths import Paths

PIECE = 8  # characters in a row of a secret that must not be in a bundle
RANDOM = random.Random(40)


def encoded(encode: Callable[[bytes], bytes], user: str, value: str) -> str:
    """What of `user` and value is the value's alone."""
    return encode((user + value).encode()).decode()[8 if user else 0 : -4]


def core(number: int) -> str:
    return f"c4n4ry{number:02}" + "".join(RANDOM.choices(string.ascii_letters + string.digits, k=16))


def dense(between: str, text: str) -> str:
    """With hardly a piece that is the same in each form."""
    return between.join(text)


#: 40 values, of every shape that a secret has.
SHAPES: list[Callable[[str], str]] = [
    *(lambda text: text,) * 6,
    lambda text: f"{text}'{text}",
    lambda text: f'{text}"{text}',
    lambda text: f"$${text}$HOME",
    lambda text: f"{text}\\n{text}",
    lambda text: f" {text} with blanks {text} ",
    lambda text: f"{text}\nsecond line {text}\n\nlast {text}",
    lambda text: f"-----BEGIN PRIVATE KEY-----\n{text * 4}\n{text[::-1] * 4}\n-----END PRIVATE KEY-----\n",
    lambda text: f"schlüssel-{text}-ключ-鍵",
    lambda text: f"e\u0301{text}é",
    lambda text: f"postgres://worker:{text}@{text[6:].lower()}.db.example:5432/jobs?sslmode=require",
    lambda text: f"https://key:{urllib.parse.quote(text + '/+=')}@queue.example",
    lambda text: json.dumps({"type": "service_account", "private_key": f"{text}\n{text[::-1]}", "n": [text]}),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: f"sk-{text}",
    lambda text: f"eyJhbGciOi{text}.{text[::-1]}.{text[4:]}",
    lambda text: f"{text}#not a comment",
    lambda text: f"`{text}`$(id)",
    lambda text: f"<{text}>&amp;",
    lambda text: f"a/{text}/b+c=",
    lambda text: text.encode().hex(),
    lambda text: f"%41{text}%2F",
    lambda text: f"{text};{text};",
    lambda text: f"\t{text}\t",
    lambda text: f"{text}{text[:3]}\u202e",
    *(partial(dense, between) for between in ('"', "'", "\\", "$", "/", "ü", "&<", "鍵", "?~>", "`!")),
]
CANARIES = {f"CANARY_{number:02}": shape(core(number)) for number, shape in enumerate(SHAPES)}
#: What programs make of a value before they write it down.
ENCODERS: dict[str, Callable[[str], str]] = {
    "plain": lambda value: value,
    "json": lambda value: json.dumps(value)[1:-1],
    "json in json": lambda value: json.dumps(json.dumps(value)[1:-1])[1:-1],
    "json with unicode": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json with escaped slashes": lambda value: value.replace("/", "\\/"),
    "python": lambda value: repr(value)[1:-1],
    "ascii": lambda value: ascii(value)[1:-1],
    "shell": shlex.quote,
    "double quotes": lambda value: re.sub(r'([\\"$`])', r"\\\1", value),
    "bash": lambda value: re.sub(r"([^\w@%+=:,./-])", r"\\\1", value),
    "compose": lambda value: value.replace("$", "$$"),
    "url": lambda value: urllib.parse.quote(value, safe=""),
    "path": urllib.parse.quote,
    "lower-case url": lambda value: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(value, safe="")),
    "form": urllib.parse.quote_plus,
    "html": lambda value: html.escape(value).replace("&#x27;", "&#39;"),
    "hex": lambda value: value.encode().hex(),
    "upper-case hex": lambda value: value.encode().hex().upper(),
    **{f"base64 after {user}": partial(encoded, base64.b64encode, user) for user in ("", "u:", "user:", "worker:")},
    **{f"url-safe base64 after {user}": partial(encoded, base64.urlsafe_b64encode, user) for user in ("", "u:", "a:b")},
}
#: How they lay it out.
LAYOUTS: dict[str, Callable[[str], str]] = {
    "in a line": lambda text: f"the value is {text} as configured",
    "wrapped": lambda text: "\n".join(textwrap.wrap(f"the value is {text} as configured", 17)) or text,
    "coloured": lambda text: f"\x1b[32m{text[:9]}\x1b[0m\x1b[31m{text[9:]}\x1b[0m",
    "cut off": lambda text: f"{text[:20]}...",
}
INSTANCE = dict.fromkeys(INSTANCE_KEYS, "-") | {"EC2_INSTANCE_ID": "i-0123456789abcdef0", "AWS_REGION": "us-east-1"}
EARLIER = "an-earlier-secret-0f9d8c7b6a"
LOGIN = base64.b64encode(b"AWS:eyJwYXlsb2FkIjoiR0hMT0dJTkxPR0lOIn0").decode()
DOCKER = """#!/bin/sh
case "$1 $2" in
"ps --all") case "$*" in *--quiet*) echo 0123456789abcdef ;; *) echo "ghosthands-worker-1 Up 3 minutes" ;; esac ;;
"inspect 0123456789abcdef") cat "${0%/*}/inspect" ;;
"logs --timestamps") cat "${0%/*}/log" ;;
*) echo "docker $*" ;;
esac
"""


def lines() -> list[str]:
    """Each canary in each form and layout."""
    forms = (f"{name}: {encode(value)}" for value in CANARIES.values() for name, encode in ENCODERS.items())
    return [lay_out(form) for form in forms for lay_out in LAYOUTS.values()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A host whose `.env`, logs and journal are full of them."""
    paths, bin = Paths(tmp_path / "root"), tmp_path / "bin"
    for folder in (paths.project, paths.docker_config, paths.config.parent, paths.run, paths.root / "var/log", bin):
        folder.mkdir(parents=True)
    paths.environment.write_text(environment(json.dumps(CANARIES), INSTANCE, ()), encoding="utf-8")
    (paths.project / ".env.previous").write_text(f"CANARY_00={EARLIER}\n")
    (paths.docker_config / "config.json").write_text(json.dumps({"auths": {"registry.example": {"auth": LOGIN}}}))
    paths.config.write_text("SCHEMA=999\nREGION=us-east-1\n")
    (paths.run / "boot.json").write_text(json.dumps({"state": "failed", "reason": lines()[0]}))
    (paths.root / "var/log/cloud-init-output.log").write_text("\n".join(lines()) + "\nCloud-init v. 22.2.2 finished\n")
    (bin / "log").write_text("\n".join([*lines(), f"login {LOGIN}", f"earlier {EARLIER}", "job 4711 has failed"]))
    env = [*(f"{key}={value}" for key, value in CANARIES.items()), "CANARY_01=of-a-running-container-77aa"]
    inspect = {"Id": "0123456789abcdef", "Name": "/ghosthands-worker-1", "Config": {"Env": env, "Image": "gh:1"}}
    (bin / "inspect").write_text(json.dumps([inspect]))
    programs = {"docker": DOCKER, "journalctl": f"#!/bin/sh\ncat {shlex.quote(str(tmp_path / 'journal'))}\n"}
    (tmp_path / "journal").write_text("\n".join([*lines(), "of-a-running-container-77aa", "event=job_lost job=4711"]))
    for name, text in programs.items():
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    return paths


def unpacked(file: Path) -> dict[str, str]:
    with tarfile.open(file) as tar:
        return {each.name: tar.extractfile(each).read().decode() for each in tar}  # type: ignore[union-attr]


def pieces(text: str) -> set[str]:
    text = "".join(text.split())
    return {text[start : start + PIECE] for start in range(len(text) - PIECE + 1)}


def test_none_of_40_canaries_is_in_the_bundle_in_any_form(host: Paths, tmp_path: Path) -> None:
    assert len(CANARIES) == 40
    file = tmp_path / "bundle.tar.xz"
    assert main(["collect", str(file), "--root", str(host.root)]) == 0
    everything = unpacked(file)
    found = ["".join(text.split()) for text in everything.values()]
    everything_joined = "\n".join(found)
    for value in {*CANARIES.values(), EARLIER, LOGIN, "of-a-running-container-77aa"}:
        for name, encode in ENCODERS.items():
            left = [piece for piece in pieces(encode(value)) if piece in everything_joined and not harmless(piece)]
            assert not left, (value, name, left)


def harmless(piece: str) -> bool:
    """Text of the shapes around the canaries that logs may hold as well."""
    return any(
        piece in word for word in ("service_account", "-----BEGINPRIVATEKEY-----", "?sslmode=require", "private_key")
    )


def test_what_explains_a_failure_is_in_it(host: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bundle.tar.xz"
    assert main(["collect", str(file), "--root", str(host.root)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    everything = unpacked(file)
    assert "event=job_lost job=4711" in everything["journal.txt"]
    assert "job 4711 has failed" in everything["docker/logs/ghosthands-worker-1.log"]
    assert "Cloud-init v. 22.2.2 finished" in everything["logs/cloud-init-output.log"]
    assert everything["agent.conf"] == "SCHEMA=999\nREGION=us-east-1\n"
    assert "agent_conf" in everything["doctor.txt"]
    assert "CANARY_39" in everything["records/env-keys.txt"]
    assert json.loads(everything["docker/inspect.json"]) == [
        {"Id": "0123456789abcdef", "Name": "/ghosthands-worker-1", "Config": {"Image": "gh:1"}}
    ]
    assert '"state": "failed"' in everything["records/boot.json"]
    assert "the value is plain: *** as configured" in everything["journal.txt"]


def test_a_host_whose_env_cannot_be_read_gives_no_bundle(host: Paths, tmp_path: Path) -> None:
    host.environment.unlink()
    host.environment.mkdir()
    file = tmp_path / "bundle.tar.xz"
    with pytest.raises(NoBundle, match="it is not known what is secret"):
        write_bundle(file, host.config, host)
    assert main(["collect", str(file), "--root", str(host.root)]) == 1
    assert not file.exists()


def test_a_bundle_is_not_written_through_a_link(host: Paths, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoBundle, match="cannot be written"):
        write_bundle(tmp_path / "link", host.config, host)


def test_a_host_without_docker_and_without_an_env_still_gives_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    file = tmp_path / "bundle.tar.xz"
    assert write_bundle(file, paths.config, paths) == 0
    assert "cannot be read" in unpacked(file)["agent.conf"]
