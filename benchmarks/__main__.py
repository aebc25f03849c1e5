"""`python -m benchmarks --shared DIR` runs every benchmark that has no arguments of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

NEED_SHARED = [
    ["proposal", "names"],
    ["proposal", "known"],
    ["proposal", "grocery"],
    ["refit"],
    ["entities"],
    ["knowledge", "closure"],
    ["kinds"],
    ["strangers"],
    ["apply"],
    ["build"],
    ["validation"],
    ["training"],
    ["training_heads"],
    ["training_full"],
    ["review"],
    ["tree_page"],
    ["review_issues"],
    ["archives", "decoding"],
    ["gldv2_size"],
]
ALONE = [
    ["sources"],
    ["trees", "sop"],
    ["trees", "inat2018"],
    ["ledger"],
    ["page"],
    ["curators", "reliability"],
    ["curators", "load"],
    ["retrieval"],
    ["losses"],
    ["archives", "faults"],
    ["archives", "bytes"],
    ["archives", "workers"],
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    shared = ["--shared", str(parser.parse_args().shared)]
    for words in [*(words + shared for words in NEED_SHARED), *ALONE]:
        print(f"\n== {' '.join(words)}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{words[0]}", *words[1:]], check=True)


if __name__ == "__main__":
    main()
