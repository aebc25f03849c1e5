"""Whole networks on real photographs: `python -m benchmarks.training_full --shared DIR`.

The photographs and the first split of `benchmarks.training`, the command `strata train --mode full`
on a CPU, timm's `test_resnet` with random weights, HAPPIER. It shows that the path works, not how
good it is: H-AP before and after; whether a training that was killed with -9 and continued leaves
the same bytes; how far two processes are from one. Rates are Adam's usual 1e-3, chosen before any
run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch

from benchmarks.training import TRAIN_SHARE

LEVELS = {"fine_id": "level0", "coarse_id": "level1", "top": "level2"}
# What a training leaves; the same bytes whether it was interrupted or not.
FILES = ("metrics.csv", "test_frozen.npy", "test_trained.npy", "model.safetensors", "result.json")
NETWORK: dict[str, Any] = {
    **{"backbone": "test_resnet", "dim": 64, "batch_size": 64, "warmup_epochs": 0},
    **{"lr": 1e-3, "head_lr": 1e-3, "checkpoint_every": 5},
}
RANDOM: dict[str, Any] = {
    "pretrained": "no",
    "freeze_batch_norm": "false",
    "epochs": 15,
    "resize": 96,
    "crop": 96,
}
FROZEN: dict[str, Any] = {"epochs": 3, "resize": 64, "crop": 64}


def labels(shared: Path, folder: Path) -> Path:
    """Writes `labels.csv` with the first split of the fine classes."""
    table = pd.read_csv(shared / "grocery" / "subset.csv")
    classes = np.unique(table.fine_id)
    order = np.random.default_rng(0).permutation(len(classes))
    train = classes[order[: int(TRAIN_SHARE * len(classes))]]
    table["split"] = np.where(table.fine_id.isin(train), "train", "test")
    path = folder / "labels.csv"
    table.rename(columns=LEVELS).to_csv(path, index=False)
    return path


class Trainings:
    """Runs the command on the photographs, in one process or two, each with one thread."""

    def __init__(self, shared: Path, folder: Path) -> None:
        self.folder = folder
        self._words = [
            *("--labels", str(labels(shared, folder)), "--mode", "full", "--recipe", "happier"),
            *("--images", str(shared / "grocery" / "subset"), "--workers", "0"),
        ]

    def start(self, out: str, settings: dict, processes: int = 1) -> subprocess.Popen[bytes]:
        """Starts a training that writes into the folder `out`."""
        program = [sys.executable, "-m", "strata_labels.cli"]
        if processes > 1:
            torchrun = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
            program = [sys.executable, "-m", *torchrun, "-m", "strata_labels.cli"]
        chosen = [w for key, value in settings.items() for w in ("--set", f"{key}={value}")]
        command = [*program, "train", *self._words, "--out", str(self.folder / out), *chosen]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def run(self, out: str, settings: dict, processes: int = 1) -> dict:
        """The numbers of a whole training."""
        if status := self.start(out, settings, processes).wait():
            raise SystemExit(f"the training {out} ended with status {status}")
        numbers: dict = json.loads((self.folder / out / "result.json").read_text(encoding="utf-8"))
        return numbers

    def kill_after_checkpoint(self, out: str, settings: dict) -> int:
        """Kills a training with -9 once it has a checkpoint; gives the step of that."""
        running = self.start(out, settings)
        checkpoint = self.folder / out / "checkpoint.pt"
        while not checkpoint.exists() and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        if running.wait() != -signal.SIGKILL:
            raise SystemExit(f"the training {out} ended before it could be killed")
        step: int = torch.load(checkpoint)["state"]["step"]
        return step

    def largest_difference(self, one: str, other: str) -> dict[str, float]:
        """Of losses, vectors and metrics of two trainings."""
        losses, vectors, means, haps = [], [], [], []
        for out in (one, other):
            folder = self.folder / out
            losses.append(pd.read_csv(folder / "metrics.csv").loss.to_numpy())
            vectors.append(np.load(folder / "test_trained.npy"))
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
            means.append(np.array(list(result["trained"].values()), dtype=float))
            haps.append(np.array([result["trained"]["hap"]]))
        pairs = {"losses": losses, "vectors": vectors, "H-AP": haps, "all metrics": means}
        return {name: float(np.abs(a - b).max()) for name, (a, b) in pairs.items()}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    shared = parser.parse_args().shared.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainings = Trainings(shared, folder)

        began = time.perf_counter()
        numbers = trainings.run("whole", NETWORK | RANDOM)
        seconds = time.perf_counter() - began
        print(f"{numbers['steps']} steps in {seconds:.0f} s, start and report included")
        for shown, key in (("H-AP", "hap"), ("R@1", "recall_at_1_level0")):
            before, after = (numbers[which][key] for which in ("frozen", "trained"))
            print(f"{shown}: {before:.3f} before, {after:.3f} after", flush=True)

        step = trainings.kill_after_checkpoint("killed", NETWORK | RANDOM)
        trainings.run("killed", NETWORK | RANDOM)
        print(f"killed with -9 after step {step} and continued:")
        for file in FILES:
            one, other = ((folder / out / file).read_bytes() for out in ("whole", "killed"))
            print(f"  {file}: {'the same bytes' if one == other else 'DIFFERENT'}", flush=True)

        torch.manual_seed(0)
        weights = folder / "weights.pt"  # frozen statistics of random weights must be a file
        torch.save(timm.create_model(NETWORK["backbone"]).state_dict(), weights)
        frozen = NETWORK | FROZEN | {"pretrained": weights}
        for processes in (1, 2):
            trainings.run(f"processes{processes}", frozen, processes)
        print("two processes and one, frozen statistics, largest difference:")
        for what, value in trainings.largest_difference("processes1", "processes2").items():
            print(f"  {what}: {value:.1e}")


if __name__ == "__main__":
    main()
