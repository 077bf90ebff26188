"""The `.env`: real Compose reads back every value byte for byte; invalid secrets are refused by name."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ghosthands_agent.environment import INSTANCE_KEYS, VALUE_BYTES, BadSecret, environment, quoted, with_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model.agent_conf import REQUIRED_KEYS

ROOT = Path(__file__).resolve().parents[3]
INSTANCE = {key: f"{key.lower()}-1" for key in INSTANCE_KEYS}
WHOLE = {rule.split("|")[0]: "v" for rule in REQUIRED_KEYS}

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: (
        name not in (*INSTANCE_KEYS, "GH_WORKER_PORT", "GH_API_PORT") and not name.startswith(("COMPOSE_", "DOCKER_"))
    )
)
values = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.text("$'\"\\\n\r\t #={}`An\u00a0\u0085\ufeffé😀", max_size=20),
)
secrets = st.dictionaries(names, values, max_size=4)


@pytest.fixture(scope="session")
def compose() -> Path:
    """The real Compose plugin (Debian's package), as .ci/compose-plugin downloads it."""
    command = subprocess.run([ROOT / ".ci/compose-plugin"], check=True, capture_output=True, text=True)
    return Path(command.stdout.strip())


def read_back(compose: Path, folder: Path, texts: list[str]) -> list[dict[str, str]]:
    """What containers would get from each `.env`, according to `docker compose config`."""
    for number, text in enumerate(texts):
        (folder / f"{number}.env").write_bytes(text.encode())
    project = {
        "services": {f"s{number}": {"image": "i", "env_file": [f"{number}.env"]} for number in range(len(texts))}
    }
    (folder / "compose.yml").write_text(json.dumps(project))
    output = subprocess.run(
        [compose, "-p", "p", "-f", "compose.yml", "config", "--format", "json"],
        check=True,
        capture_output=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    services = json.loads(output.stdout)["services"]
    # `config` prints a file that can be read again, in which every dollar is doubled.
    return [
        {key: value.replace("$$", "$") for key, value in (services[f"s{number}"].get("environment") or {}).items()}
        for number in range(len(texts))
    ]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(secrets, min_size=10, max_size=80))
def test_compose_reads_back_any_json_object_of_strings(
    compose: Path, tmp_path: Path, objects: list[dict[str, str]]
) -> None:
    texts = [environment(json.dumps(secret), INSTANCE, ()) for secret in objects]
    assert read_back(compose, tmp_path, texts) == [secret | INSTANCE for secret in objects]


def test_compose_reads_back_every_combination_of_three_special_characters(compose: Path, tmp_path: Path) -> None:
    awkward = "$'\"\\\n\r\t #={}n0"
    texts = [a + b + c for a in ("", *awkward) for b in ("", *awkward) for c in ("", *awkward)]
    secret = {f"K{number}": text for number, text in enumerate(texts)}
    (found,) = read_back(compose, tmp_path, ["".join(f"{key}={quoted(value)}\n" for key, value in secret.items())])
    assert found == secret


def test_compose_interpolates_values_that_are_not_quoted_this_way(compose: Path, tmp_path: Path) -> None:
    """So the tests above can fail."""
    (found,) = read_back(compose, tmp_path, ['A=word$B\nC="word$B"\nD=a #b\n'])
    assert found == {"A": "word", "C": "word", "D": "a"}


dotenv_values = st.one_of(
    st.text("abc=#:{}/@ \t\\'", max_size=12).filter(lambda value: not value.lstrip(" \t").startswith(("'", '"'))),
    st.text('abc #\\n\n"', max_size=12)
    .filter(lambda value: "'" not in value and not value.endswith("\\"))
    .map(lambda value: f"'{value}'"),
    st.lists(st.sampled_from(["a", "b", " ", "#", "\n", "\\n", "\\t", '\\"', "\\\\", "'"]), max_size=12).map(
        lambda parts: f'"{"".join(parts)}"'
    ),
)
dotenv_lines = st.one_of(
    st.tuples(names, st.sampled_from(["=", " = ", "= "]), dotenv_values).map("".join),
    names.map(lambda name: f"export {name}=x"),
    st.sampled_from(["", "# comment", "  # it's", "\t"]),
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(st.lists(dotenv_lines, min_size=1, max_size=5), min_size=60, max_size=100))
def test_dotenv_text_is_read_as_compose_reads_it(compose: Path, tmp_path: Path, files: list[list[str]]) -> None:
    texts, ours = [], []
    for lines in files:
        text = "KEEP=1\n" + "".join(f"{line}\n" for line in lines)
        try:
            ours.append(environment(text, INSTANCE, ()))
        except BadSecret as bad:
            assert "twice" in str(bad)  # noqa: PT017 - the only refusal that Compose does not share
            continue
        texts.append(text)
    meant = [found | INSTANCE for found in read_back(compose, tmp_path, texts)]
    assert read_back(compose, tmp_path, ours) == meant


def test_a_dollar_in_dotenv_text_is_a_dollar(compose: Path, tmp_path: Path) -> None:
    text = environment('A=pa$word\nB="pa$word"\nC=\'pa$word\'\nD="a\\$b"\n', INSTANCE, ())
    (found,) = read_back(compose, tmp_path, [text])
    assert {key: found[key] for key in "ABCD"} == {"A": "pa$word", "B": "pa$word", "C": "pa$word", "D": "a$b"}


def test_the_instances_values_are_last() -> None:
    lines = environment(json.dumps({"Z": "1", "A": "2"}), INSTANCE, ()).splitlines()
    assert [line.split("=")[0] for line in lines] == ["Z", "A", *INSTANCE_KEYS]


def refusal(secret: str, required: tuple[str, ...] = (), **ports: int) -> str:
    with pytest.raises(BadSecret) as raised:
        environment(secret, INSTANCE, required, **ports)
    assert "canary" not in str(raised.value)
    assert raised.value.__context__ is None
    return str(raised.value)


@pytest.mark.parametrize("key", INSTANCE_KEYS)
def test_a_secret_with_a_key_of_the_instance_is_refused(key: str) -> None:
    assert key in refusal(json.dumps({key: "canary"}))
    assert key in refusal(f"{key}=canary\n")


@pytest.mark.parametrize("rule", REQUIRED_KEYS)
def test_a_missing_or_empty_required_key_is_named(rule: str) -> None:
    key = rule.split("|")[0]
    without = {name: value for name, value in WHOLE.items() if name != key}
    for secret in (without, without | {key: ""}):
        assert f"{' or '.join(rule.split('|'))} is missing" in refusal(json.dumps(secret), REQUIRED_KEYS)


def test_either_of_two_keys_is_enough() -> None:
    secret = {name: value for name, value in WHOLE.items() if name != "GH_ENCRYPTION_KEY"} | {"GH_CREDENTIAL_KEY": "v"}
    assert "GH_CREDENTIAL_KEY='v'" in environment(json.dumps(secret), INSTANCE, REQUIRED_KEYS)


BAD: Mapping[str, tuple[str, str]] = {
    "no name": (json.dumps({"a-b": "canary"}), "'a-b' is not a name"),
    "a name with a line break": (json.dumps({"A\nB": "canary"}), r"'A\nB' is not a name"),
    "a name beyond ASCII": (json.dumps({"É": "canary"}), r"'\xc9' is not a name"),
    "a NUL byte": (json.dumps({"A": "canary\0"}), "A holds a NUL byte"),
    "a number": (json.dumps({"A": 5, "B": "canary"}), "A is not a string"),
    "nothing": (json.dumps({"A": None}), "A is not a string"),
    "an object": (json.dumps({"A": {"B": "canary"}}), "A is not a string"),
    "half a surrogate pair": ('{"A": "canary\\ud800"}', "A is not Unicode text"),
    "a key twice": ('{"A": "canary", "A": "canary"}', "'A' twice"),
    "a key twice in dotenv": ("A=canary\nA=canary\n", "'A' twice"),
    "too much": (json.dumps({"A": "canary" * VALUE_BYTES}), "more than 65536 bytes"),
    "what steers Compose": (json.dumps({"COMPOSE_FILE": "canary"}), "COMPOSE_FILE would configure Compose"),
    "an empty text": (" \n", "The secret is empty"),
    "an array": ('["canary"]', "neither a JSON object"),
    "broken JSON": ('{"A": "canary"', "neither a JSON object"),
    "deep JSON": ('{"A": ' + "[" * 10000, "neither a JSON object"),
    "no text of ours": ("<html>canary</html>", "line 1 is not KEY=value"),
    "a line that is none": ("A=b\ncanary canary\n", "line 2 is not KEY=value"),
    "an open quote": ("A=b\nB='canary\n\n", "line 2 is not KEY=value"),
    "words behind a quote": ("A='canary' canary\n", "line 1 is not KEY=value"),
    "an error page behind a name": ("A: canary\n", "line 1 is not KEY=value"),
    "a worker on another port": (json.dumps({"GH_WORKER_PORT": "3201"}), "GH_WORKER_PORT is not 3101"),
}


@pytest.mark.parametrize("what", BAD)
def test_an_invalid_secret_is_refused_by_name_without_any_value(what: str) -> None:
    secret, expected = BAD[what]
    assert expected in refusal(secret)


def test_every_problem_of_a_secret_is_reported_at_once() -> None:
    text = refusal(json.dumps({"a-b": "canary", "B": 5, "GH_WORKER_ID": "canary"}), ("C",))
    for named in ("'a-b'", "B is not a string", "GH_WORKER_ID", "C is missing"):
        assert named in text


def test_the_ports_that_the_fleet_opens_may_be_stated() -> None:
    assert "GH_WORKER_PORT='4101'" in environment(
        json.dumps({"GH_WORKER_PORT": "4101"}), INSTANCE, (), worker_port=4101
    )


def test_the_image_is_the_last_line_of_that_name() -> None:
    text = "PROMPT=\"a\nECR_IMAGE='no'\nb\"\nECR_IMAGE='one'\nGH_WORKER_ID='i'\n"
    assert with_image(text, "two") == text.replace("ECR_IMAGE='one'", "ECR_IMAGE='two'")
    assert with_image("A='1'\n", "two") == "A='1'\nECR_IMAGE='two'\n"
