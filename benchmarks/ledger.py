"""Time of work on a ledger of 200,000 decisions: opening, one decision, undo, reading, replay.

`python -m benchmarks.ledger` prints one line of JSON. Times of one decision are of 50, each with
the lock, the write and the fsync; half of them come after another process's decision. `memory_mb`
is the most the process ever held, the proposals included; `load` how busy the machine was (the mean
number of running processes of the last minute), and `cores` what it has.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from strata_labels.evidence import Evidence, Seen, write_seen
from strata_labels.review import LedgerWriter, read_ledger, replay

ROWS, NODES, TRIES = 200_000, 300, 50
EVIDENCE = (Evidence("name_word", "1/Q1", text="church", language="en"),)


def _world() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Proposals for all items and the nodes, and the nodes: three levels."""
    rng = np.random.default_rng(0)
    upper = [("2/top", 2, "top", None, None)]
    nodes = [*((f"1/Q{n}", 1, f"class {n}", "2/top", f"Q{n}") for n in range(NODES)), *upper]
    vocabulary = pd.DataFrame(nodes, columns=["node_id", "level", "name", "parent_id", "qid"])
    subjects = [f"gldv2/train/{n}" for n in range(ROWS)]
    parents = [f"1/Q{n}" for n in rng.integers(0, NODES, ROWS)]
    rows = pd.DataFrame({"subject": subjects, "level": 1, "parent": parents})
    below = vocabulary[vocabulary.level == 1]
    nodes_rows = pd.DataFrame({"subject": below.node_id, "level": 2, "parent": "2/top"})
    rows = pd.concat([rows, nodes_rows], ignore_index=True)
    rows["row_id"] = rows.level.astype(str) + ":" + rows.subject
    rows["suggestion"] = ""
    rows = rows.assign(status="proposed", origin="text", margin=0.1, accepted=False)
    rows = rows.assign(confidence=0.5, score=0.5, evidence_hash="e2:0123456789abcdef")
    rows["evidence"] = pd.Series([EVIDENCE] * len(rows), dtype=object)
    rows["reasons"] = rows["alternatives"] = pd.Series([()] * len(rows), dtype=object)
    return rows, vocabulary


def main() -> None:
    seconds: dict[str, Any] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        seconds[name] = round(time.perf_counter() - begin, 2)
        return result

    proposals, vocabulary = _world()
    items = proposals[proposals.level == 1]
    batch = pd.DataFrame(
        {
            "subject": items.subject,
            "level": "1",
            "decision": "move",
            "target": items.parent,
            "reviewer": np.where(np.arange(ROWS) % 2, "ann", "ben"),
            "decided_at": "2026-01-31T12:00:00Z",
            "evidence_hash": items.evidence_hash,
            "seen": write_seen(Seen("1/Q1", EVIDENCE)),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decisions.csv"
        timed("write_all_s", lambda: LedgerWriter(path).record(batch))
        writer = timed("open_s", lambda: LedgerWriter(path))
        other = LedgerWriter(path)
        alone: list[float] = []
        after_other: list[float] = []
        undone: list[float] = []
        for number in range(TRIES):
            row = batch.iloc[[number]].assign(target="1/Q0", decided_at="", reviewer="cem")
            if number % 2:
                other.record(row.assign(reviewer="dan"))
            begin = time.perf_counter()
            writer.record(row, expected=None if number % 2 else writer.state)
            (after_other if number % 2 else alone).append(time.perf_counter() - begin)
        for _ in range(20):
            begin = time.perf_counter()
            writer.undo("cem")
            undone.append(time.perf_counter() - begin)
        ledger = timed("read_s", lambda: read_ledger(path))
        timed("replay_s", lambda: replay(ledger.decisions, proposals, vocabulary))
    milliseconds = {
        f"{name}_{what}_ms": round(1000 * of(times), 1)
        for name, times in (("one", alone), ("one_after_another", after_other), ("undo", undone))
        for what, of in (("median", statistics.median), ("slowest", max))
    }
    machine = {
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
    }
    print(json.dumps({"decisions": ROWS, **milliseconds, **seconds, **machine}))


if __name__ == "__main__":
    main()
