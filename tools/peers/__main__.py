"""`make peers`: clients that others wrote, from package registries and this machine, against localcloud.

Prints what passed, what localcloud refused by name and what is a fault; a fault fails the verb. ``--quick`` runs what
takes seconds (`make test`), ``--write`` writes the counts to docs/peers.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.peers import cli, metadata, moto, report, terraform  # noqa: E402

#: Peer -> how it is run: with ``quick``, only its cheap part.
PEERS: dict[str, Callable[[bool], report.Peer]] = {
    "metadata": metadata.run,
    "moto": moto.run,
    "cli": cli.run,
    "terraform": terraform.run,
}


def main() -> int:
    """Run the peers that are named, by default all; the exit status says whether there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", nargs="*", help=f"of {', '.join(PEERS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="only what takes seconds")
    parser.add_argument("--write", action="store_true", help="write docs/peers.md")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.peer) - set(PEERS)):
        parser.error(f"there is no peer {unknown[0]}; there are {', '.join(PEERS)}")
    ran = list[report.Peer]()
    for name in arguments.peer or PEERS:
        began = time.monotonic()
        peer = PEERS[name](arguments.quick)
        print(f"{peer.line()} ({time.monotonic() - began:.0f} s)", flush=True)
        for case in peer.faults():
            print(f"  FAULT {case.name}: {case.detail}", flush=True)
        ran.append(peer)
    if arguments.write:
        report.write(ROOT / "docs" / "peers.md", ran)
    print(report.summary(ran))
    return 1 if any(peer.faults() for peer in ran) else 0


if __name__ == "__main__":
    sys.exit(main())
