"""`make docs`: writes what documents repeat of the code.

docs/options.md and the options in the roles' READMEs come from the argument specs, the tables of docs/checks.md from
the checks. With --check it writes nothing and lists the pages that are out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))  # as pyproject.toml does for pytest

from tools.docs import catalogue  # noqa: E402

SPEC = ROOT / "playbooks/vars/fleet_spec.yml"
PAGE = ROOT / "docs/options.md"
HEADING = re.compile(r"^      # --- (.*?) -+$")
OPTION = re.compile(r"^      (fleet_\w+):$")
BEGIN = "<!-- options: made by `make docs` from meta/argument_specs.yml -->\n"
END = "<!-- end of options -->\n"
CHECKS = ROOT / "docs/checks.md"
CHECKS_BEGIN, CHECKS_END = (
    "<!-- checks: made by `make docs` from the checks themselves -->\n",
    "<!-- end of checks -->\n",
)
HEAD = """\
# Options of a fleet

Every `fleet_*` variable. An environment sets what differs in `inventories/<environment>/group_vars/fleet.yml`. A name
that is not here is refused before anything changes, and so is a value that AWS would refuse.

<!-- Made by `make docs` from playbooks/vars/fleet_spec.yml. Change that. -->
"""


def sections(spec: str) -> Iterator[tuple[str, list[str]]]:
    """The spec's headings, each with the options under it, in order. Headings are comments, which YAML parsers drop.

    Raises ValueError where an option comes before the first heading.
    """
    heading = ""
    names: list[str] = []
    for line in spec.splitlines():
        if found := HEADING.match(line):
            if heading:
                yield heading, names
            heading, names = found[1], []
        elif found := OPTION.match(line):
            if not heading:
                raise ValueError(f"{found[1]} is under no heading")
            names.append(found[1])
    yield heading, names


def row(name: str, option: Mapping[str, Any]) -> str:
    """One option as a row of its table."""
    default = (
        yaml.safe_dump(option["default"], default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    )
    kind = " \\| ".join(map(str, option["choices"])) if "choices" in option else option["type"]
    meaning = " ".join(str(option["description"]).split()).replace("|", "\\|").replace("<", "&lt;")
    return f"| `{name}` | {kind} | `{default}` | {meaning} |"


def table(options: Mapping[str, Mapping[str, Any]]) -> str:
    """Options as a table, one row each."""
    rows = [row(name, option) for name, option in options.items()]
    return "\n".join(["| variable | type | default | meaning |", "|---|---|---|---|", *rows, ""])


def page(spec: str) -> str:
    """The whole page of the fleet's options. Raises ValueError where headings and options do not add up to the spec."""
    options = yaml.safe_load(spec)["argument_specs"]["fleet"]["options"]
    parts, written = [HEAD], []
    for heading, names in sections(spec):
        parts.append(f"## {heading[0].upper()}{heading[1:]}\n\n{table({name: options[name] for name in names})}")
        written += names
    if written != list(options):
        raise ValueError("the spec's layout is not understood: an option is missing")
    return "\n".join(parts)


def readme(text: str, spec: str) -> str:
    """A role's README with the options of its spec between the markers. Raises ValueError where it has none."""
    return between(text, BEGIN, table(yaml.safe_load(spec)["argument_specs"]["main"]["options"]), END)


def between(text: str, begin: str, made: str, end: str) -> str:
    """A text with `made` between the markers. Raises ValueError where it has none."""
    before, mark, remaining = text.partition(begin)
    _, stop, after = remaining.partition(end)
    if not (mark and stop):
        raise ValueError(f"the page needs a line {begin.strip()} and a line {end.strip()}")
    return f"{before}{mark}\n{made}\n{stop}{after}"


def pages() -> Iterator[tuple[Path, Path, str]]:
    """Each file that is generated, or holds something generated: its path, the spec's, its text."""
    yield PAGE, SPEC, page(SPEC.read_text(encoding="utf-8"))
    yield (
        CHECKS,
        ROOT / "plugins/module_utils/_fleet/checks",
        between(CHECKS.read_text(encoding="utf-8"), CHECKS_BEGIN, catalogue.tables(), CHECKS_END),
    )
    for spec in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        file = spec.parents[1] / "README.md"
        yield file, spec, readme(file.read_text(encoding="utf-8"), spec.read_text(encoding="utf-8"))


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="list the pages that are out of date, write nothing")
    stale = [
        (file, spec, text)
        for file, spec, text in pages()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]
    if not parser.parse_args().check:
        for file, _, text in stale:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file.relative_to(ROOT)}")
        return 0
    for file, spec, _ in stale:
        print(f"{file.relative_to(ROOT)} is out of date with {spec.relative_to(ROOT)}: run make docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
