"""The vector store at size: opening a table, looking keys up, reading all vectors in random order.

    python -m benchmarks.store FOLDER [--vectors 1600000] [--dim 768] [--half]

Writes the table into FOLDER if it is not there (4.9 GB, with --half 2.5 GB), in parts of 4,096 as a
run does, and measures in a process of its own. Memory is the process's peak less what it had before
the table was opened, less the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from strata_labels.embedding import VectorStore

_PART = 4096


def keys_of(start: int, count: int) -> list[bytes]:
    return [hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range(start, start + count)]


def write(folder: Path, count: int, dim: int, half: bool) -> None:
    table = VectorStore(folder).table("benchmark", "image")
    random = np.random.default_rng(0)
    for start in range(0, count, _PART):
        size = min(_PART, count - start)
        with table.writer() as add:
            vectors = random.standard_normal((size, dim), np.float32)
            add(keys_of(start, size), vectors.astype(np.float16) if half else vectors)


def measure(folder: Path, count: int) -> dict[str, float]:
    keys = keys_of(0, count)
    order = np.random.default_rng(1).permutation(count)
    wanted = [keys[n] for n in order]
    del keys
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = [_now()]
    table = VectorStore(folder).table("benchmark", "image")
    times.append(_now())
    assert not table.missing(wanted)
    times.append(_now())
    found = table.vectors(wanted)
    times.append(_now())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = np.diff(times, axis=0).T.round(2)
    steps = ("open", "missing", "vectors")
    return {
        **{f"{step}_s": second for step, second in zip(steps, wall, strict=True)},
        **{f"{step}_processor_s": second for step, second in zip(steps, processor, strict=True)},
        "memory_beside_gb": round((peak - before) * 1024 / 1e9 - found.nbytes / 1e9, 3),
        "result_gb": round(found.nbytes / 1e9, 3),
    }


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vectors", type=int, default=1_600_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--half", action="store_true", help="store half precision")
    parser.add_argument("--measure", action="store_true", help="only measure, in this process")
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.folder, chosen.vectors)))
        return
    if not chosen.folder.exists():
        write(chosen.folder, chosen.vectors, chosen.dim, chosen.half)
    command = [sys.executable, "-m", "benchmarks.store", str(chosen.folder), "--measure"]
    subprocess.run([*command, "--vectors", str(chosen.vectors)], check=True)


if __name__ == "__main__":
    main()
