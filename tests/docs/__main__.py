"""`make docs`: writes docs/options.md from playbooks/vars/fleet_spec.yml. With --check: says whether it is current, and writes nothing."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "playbooks/vars/fleet_spec.yml"
PAGE = ROOT / "docs/options.md"
HEADING = re.compile(r"^      # --- (.*?) -+$")
OPTION = re.compile(r"^      (fleet_\w+):$")
HEAD = """\
# Options of a fleet

Every `fleet_*` variable. An environment writes what differs to `inventories/<environment>/group_vars/fleet.yml`. A name that is not here is refused before
anything changes, and so is a value that AWS would refuse.

<!-- Made by `make docs` from playbooks/vars/fleet_spec.yml. Change that. -->
"""


def sections(spec: str) -> Iterator[tuple[str, list[str]]]:
    """The spec's headings, each with the options under it, in order. They stand in its comments, which YAML does not tell.

    Raises ValueError where an option stands before the first heading.
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
                raise ValueError(f"{found[1]} stands under no heading")
            names.append(found[1])
    yield heading, names


def row(name: str, option: Mapping[str, Any]) -> str:
    """One option as a row of its table."""
    default = yaml.safe_dump(option["default"], default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    kind = " \\| ".join(map(str, option["choices"])) if "choices" in option else option["type"]
    meaning = " ".join(str(option["description"]).split()).replace("|", "\\|").replace("<", "&lt;")
    return f"| `{name}` | {kind} | `{default}` | {meaning} |"


def page(spec: str) -> str:
    """The whole page. Raises ValueError where headings and options do not add up to the spec."""
    options = yaml.safe_load(spec)["argument_specs"]["fleet"]["options"]
    parts, told = [HEAD], []
    for heading, names in sections(spec):
        rows = [row(name, options[name]) for name in names]
        parts.append(
            "\n".join(
                [f"## {heading[0].upper()}{heading[1:]}", "", "| variable | type | default | meaning |", "|---|---|---|---|", *rows, ""]
            )
        )
        told += names
    if told != list(options):
        raise ValueError("the spec's layout is not understood: some option is missed")
    return "\n".join(parts)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="say whether the page is current, write nothing")
    wanted = page(SPEC.read_text(encoding="utf-8"))
    if not parser.parse_args().check:
        PAGE.write_text(wanted, encoding="utf-8")
        print(f"{PAGE.relative_to(ROOT)} is written")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not what {SPEC.relative_to(ROOT)} says: run make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
