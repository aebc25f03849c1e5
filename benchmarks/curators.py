"""Several curators on one served review: load with crashes of the server, and reliability.

`python -m benchmarks.curators load [--rows 200000] [--seconds 300] [--stops 6]` starts the real
command and ten simulated curators over HTTP, stops the server (kill -9, SIGTERM) and starts it
again. It exits with 1 if a confirmed answer is not in the ledger exactly once, or a row was on two
screens at a time.

`python -m benchmarks.curators reliability` estimates five simulated curators of known accuracy.
Each prints one line of JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from strata_labels.build import BuildSettings, Workspace
from strata_labels.review import read_ledger
from strata_labels.review.reliability import Answers, estimate, label_probabilities

from benchmarks.page import make

CURATORS = 10
AWAY = 60.0  # seconds that the server may be away at the end
#: Accuracies; the fourth curator is careless, the last one names the next label instead.
ACCURACY = {"ann": 0.97, "ben": 0.93, "cleo": 0.9, "dora": 0.65, "eve": 0.1}
LABELS, DOUBLE, SEEDS = 10, 800, range(20)


# --- load -----------------------------------------------------------------------------------


def workspace(folder: Path, rows: int) -> Workspace:
    """A workspace of open rows that the command can serve, with `curators.toml`."""
    make(folder, rows)
    place = Workspace(folder)
    place.vectors.mkdir()
    (folder / "names.npy").rename(place.vectors / "names.npy")
    settings = BuildSettings(
        tree="gldv2-h",
        metadata=folder,
        decisions=place.ledger,
        encoder="registry",
    )
    place.record.write_text(json.dumps({"parameters": settings.model_dump(mode="json")}))
    (folder / "curators.toml").write_text("".join(f"[c{n}]\n" for n in range(CURATORS)))
    return place


def free_port() -> int:
    """A port that no connection is given as its own.

    A client that tries one of those again and again while nobody listens ends up connected to
    itself, and the server cannot have the port back.
    """
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


class Server:
    """The real command, which is stopped and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self.secrets: dict[str, str] = {}
        self.lives = 0
        self.started: list[float] = []
        self.memory = 0
        self.is_up = False
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        began = time.monotonic()
        words = ["--serve", f"127.0.0.1:{self.port}", "--curators", "curators.toml"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "strata_labels.cli", "review", ".", *words],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        assert self._process.stdout
        for line in self._process.stdout:
            if found := re.match(r"Link of (\w+), .*/(\S+)/$", line):
                self.secrets[found[1]] = found[2]
            if line.startswith("Review page"):
                break
        else:
            raise RuntimeError(self._process.communicate()[1])
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        self.lives, self.is_up = self.lives + 1, True
        self.started.append(time.monotonic() - began)

    def stop(self, number: signal.Signals) -> None:
        """Ends it."""
        self.is_up = False
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", status)
        self.memory = max(self.memory, int(found[1]) // 1024 if found else 0)
        self._process.send_signal(number)
        _, said = self._process.communicate()
        if "Traceback" in said:
            raise RuntimeError(said)


@dataclass
class Curator:
    """Answers what is shown, at a steady pace, and notes what was confirmed.

    Attributes:
        confirmed: `row, decision` of each answer that was.
        held: `row, life of the server, from, to` of each row on the screen.
        times: milliseconds of each answer that was sent while the server was up; one that starts
            lets others wait until it has loaded.
        statuses: of all answers.
    """

    name: str
    server: Server
    pace: float
    until: float
    seed: int
    confirmed: list[tuple[str, str]] = field(default_factory=list)
    held: list[tuple[str, int, float, float]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    again: int = 0
    errors: list[str] = field(default_factory=list)
    _open: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Answers until the time is over."""
        try:
            self._run()
        except Exception as error:  # a thread's error is reported by its owner
            self.errors.append(f"{self.name}: {error!r}")

    def _run(self) -> None:
        rng = np.random.default_rng(self.seed)
        shown, life, came = self._look()
        due = time.monotonic() + self.pace * rng.random()
        while shown["row"]:
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > self.until:
                return
            due = max(due + self.pace, time.monotonic())
            row = shown["row"]["row_id"]
            word = str(rng.choice(["keep", "exclude", "unsure"], p=[0.8, 0.1, 0.1]))
            given = {"state": shown["state"], "row_id": row, "decision": word}
            body = json.dumps({**given, "view": "single=yes"})
            if life == self.server.lives:
                self.held.append((row, life, came, time.monotonic()))
            status, said, took, life = self._send("POST", "decide", body)
            came = time.monotonic()
            self.times += [took] if took else []
            self.statuses[status] += 1
            if status == 200:
                self.confirmed.append((row, word))
            elif status != 409:
                raise RuntimeError(f"{status}: {said}")
            shown = said

    def _look(self) -> tuple[dict[str, Any], int, float]:
        _, said, _, life = self._send("GET", "row?" + urlencode({"single": "yes"}), None)
        return said, life, time.monotonic()

    def _send(
        self, method: str, path: str, body: str | None
    ) -> tuple[int, dict[str, Any], float, int]:
        """Sends a request, again and again while the server is away.

        Returns:
            Status, answer, milliseconds (0 if the server was not up at first), its life.
        """
        own = f"127.0.0.1:{self.server.port}"
        headers = {"Origin": f"http://{own}", "Content-Type": "application/json"}
        while True:
            life, began, is_up = self.server.lives, time.monotonic(), self.server.is_up
            try:
                if self._open is None:
                    self._open = http.client.HTTPConnection(own, timeout=60)
                secret = self.server.secrets[self.name]
                self._open.request(method, f"/{secret}/{path}", body, headers if body else {})
                answer = self._open.getresponse()
                text = answer.read()
                took = 1000 * (time.monotonic() - began) if is_up else 0.0
                return answer.status, json.loads(text), took, life
            except (OSError, http.client.HTTPException):
                if began > self.until + AWAY:
                    raise
                self._open = None
                self.again += 1
                time.sleep(0.2)


def on_two_screens(held: list[tuple[str, str, int, float, float]]) -> list[str]:
    """Rows that two curators had on the screen at a time, in one life of the server.

    Args:
        held: `row, curator, life, from, to`.
    """
    found = []
    held = sorted(held, key=lambda one: (one[0], one[2], one[3]))
    for (row, who, life, _, end), (other, by, later, start, _) in pairwise(held):
        if row == other and life == later and who != by and start < end:
            found.append(f"{row}: {who}, {by}")
    return found


def load(rows: int, seconds: float, stops: int, rate: float) -> dict[str, Any]:
    """Serves a review to curators for some time, with stops of the server in between."""
    with tempfile.TemporaryDirectory() as name:
        place = workspace(Path(name), rows)
        server = Server(place.folder)
        until = time.monotonic() + seconds
        curators = [Curator(f"c{n}", server, CURATORS / rate, until, n) for n in range(CURATORS)]
        threads = [threading.Thread(target=curator.run, daemon=True) for curator in curators]
        for thread in threads:
            thread.start()
        for n in range(stops):
            time.sleep(max(0.0, until - seconds * (1 - (n + 1) / (stops + 1)) - time.monotonic()))
            server.stop((signal.SIGKILL, signal.SIGTERM)[n % 2])
            server.start()
        for thread in threads:
            thread.join()
        server.stop(signal.SIGTERM)
        ledger = read_ledger(place.ledger).decisions
    written = Counter(zip(ledger.row_id, ledger.decision, ledger.reviewer, strict=True))
    confirmed = Counter((row, word, one.name) for one in curators for row, word in one.confirmed)
    held = [
        (row, one.name, life, came, went) for one in curators for row, life, came, went in one.held
    ]
    times = np.array([took for one in curators for took in one.times])
    errors = [error for one in curators for error in one.errors]
    settled = ledger[ledger.decision != "unsure"]
    return {
        "open_rows": rows,
        "seconds": seconds,
        "stops": stops,
        "confirmed": sum(confirmed.values()),
        "lost": sum(written[answer] == 0 for answer in confirmed),
        "written_twice": sum(count > 1 for count in written.values()),
        "confirmed_twice": sum(count > 1 for count in confirmed.values()),
        "written_not_confirmed": len(written.keys() - confirmed.keys()),
        "settled_by_two": int(settled.row_id.duplicated().sum()),
        "on_two_screens": on_two_screens(held),
        "late": sum(one.statuses[409] for one in curators),
        "sent_again": sum(one.again for one in curators),
        "timed": len(times),
        "answer_ms": {
            f"p{share}": float(np.percentile(times, share)) for share in (50, 95, 99, 100)
        },
        "start_s": [round(took, 1) for took in server.started],
        "peak_mb": server.memory,
        "load_average": os.getloadavg()[0],
        "errors": errors,
    }


# --- reliability ----------------------------------------------------------------------------


def simulated(seed: int, double: int) -> tuple[list[Answers], list[str]]:
    """Answers until each curator has `double`; who differ have a third one asked, and so on."""
    rng, answers, truth = np.random.default_rng(seed), list[Answers](), list[str]()
    count = dict.fromkeys(ACCURACY, 0)
    while min(count.values()) < double:
        true, said = int(rng.integers(LABELS)), dict[str, str]()
        for who in sorted(ACCURACY, key=lambda one: count[one] + 40 * rng.random()):
            step = 0
            if rng.random() >= ACCURACY[who]:
                step = 1 if who == "eve" else int(rng.integers(1, LABELS))
            said[who] = str((true + step) % LABELS)
            count[who] += 1
            if len(set(said.values())) < len(said):
                break
        answers.append(Answers(said, LABELS))
        truth.append(str(true))
    return answers, truth


def vote(answers: Answers, rng: np.random.Generator) -> str:
    """The most frequent label; one of them at random where several are."""
    counts = Counter(answers.labels.values())
    most = max(counts.values())
    return str(rng.choice(sorted(label for label, count in counts.items() if count == most)))


def reliability() -> dict[str, Any]:
    """Errors of the estimates, and of the labels made with them and by majority vote."""
    off, weighed, voted = list[pd.Series](), list[float](), list[float]()
    for seed in SEEDS:
        answers, truth = simulated(seed, DOUBLE)
        found, rng = estimate(answers), np.random.default_rng(seed)
        off.append(pd.Series(found.accuracy) - pd.Series(ACCURACY))
        likely = [label_probabilities(one, found.accuracy) for one in answers]
        best = [max(one, key=lambda label: one[label]) for one in likely]
        weighed.append(float(np.mean([a == b for a, b in zip(best, truth, strict=True)])))
        votes = [vote(one, rng) for one in answers]
        voted.append(float(np.mean([a == b for a, b in zip(votes, truth, strict=True)])))
    points = 100 * pd.DataFrame(off).abs()
    return {
        "seeds": len(SEEDS),
        "double_answers_each": DOUBLE,
        "estimates_within_3_points": float((points <= 3).to_numpy().mean()),
        "seeds_with_all_within_3_points": int((points <= 3).all(axis=1).sum()),
        "mean_error_points": points.mean().round(2).to_dict(),
        "most_error_points": float(points.to_numpy().max()),
        "labels_right": float(np.mean(weighed)),
        "labels_right_by_vote": float(np.mean(voted)),
        "seeds_better_than_vote": int((np.array(weighed) > np.array(voted)).sum()),
    }


def main() -> int:
    """Runs one of the two; returns 1 if something that has to hold does not."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("what", choices=["load", "reliability"])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--stops", type=int, default=6)
    parser.add_argument("--rate", type=float, default=20, help="answers a second, in all")
    asked = parser.parse_args()
    if asked.what == "reliability":
        found = reliability()
    else:
        found = load(asked.rows, asked.seconds, asked.stops, asked.rate)
    text = json.dumps(found, default=float)
    print(json.dumps(json.loads(text, parse_float=lambda part: round(float(part), 4))))
    wrong = ("lost", "written_twice", "settled_by_two", "on_two_screens", "errors")
    return int(any(found.get(name) for name in wrong))


if __name__ == "__main__":
    sys.exit(main())
