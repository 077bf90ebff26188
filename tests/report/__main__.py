"""`python -m tests.report [DIRECTORY]`: writes sample reports, for people who change how one looks."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "collections"))  # as pyproject.toml does for pytest

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.console import table
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_report import documents
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples

SAMPLES = {
    "right": samples.right(),
    "faulty": samples.faulty(),
    "none": samples.none(),
    "large": samples.large(),
    "hostile": samples.hostile(samples.HOSTILE[0]),
    "long-words": samples.hostile(samples.HOSTILE[9]),
}


def main(directory: Path) -> None:
    """A folder for each sample."""
    for name, (fleet, findings) in SAMPLES.items():
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in documents(fleet, findings).items():
            (folder / file).write_text(text, encoding="utf-8")
        print(folder / "report.html")
    print(*table(*samples.faulty()[1:]), sep="\n")


main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/report-sample"))
