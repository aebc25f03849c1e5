"""What only a GPU can show, in one run: `python -m benchmarks.gpu`.

Needs torch alone; what needs more (timm and torchvision for the network, pydantic for recipes) is
skipped by name where it is missing. Without a GPU it ends with status 2, unless `--device cpu`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from strata_labels.losses import ClusterLoss, SmoothAPLoss, SupAPLoss, SupHAPLoss, SupNDCGLoss
from strata_labels.retrieval import evaluate_embeddings

from benchmarks import data

ROOT = Path(__file__).resolve().parents[1]
LOSSES = {
    "suphap": SupHAPLoss,
    "supap": SupAPLoss,
    "smoothap": SmoothAPLoss,
    "supndcg": SupNDCGLoss,
}


def seconds(work: Callable[[], object], device: torch.device, repeat: int = 5) -> float:
    """Median time of a piece of work, after one run that does not count."""
    times = []
    for _ in range(repeat + 1):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[repeat // 2]


def loss_times(device: torch.device, batch: int) -> dict[str, float]:
    """Seconds of forward and backward of SupHAP, 512-d, 3 levels (aim: under 0.25 at 4,096)."""
    labels = data.labels(batch, (batch // 4, 12, 2)).to(device)
    embeddings = data.embeddings(labels.cpu(), 512).to(device)

    def step() -> None:
        own = embeddings.clone().requires_grad_()
        SupHAPLoss()(own, labels).backward()

    return {"seconds": seconds(step, device), "peak_gb": _peak(device)}


def report_time(device: torch.device, items: int) -> dict[str, float]:
    """Seconds of the whole report, items x items, 7 levels, 512-d (aim: under 60 at 136,093)."""
    labels = data.labels(items, data.TREES[7])
    embeddings = data.embeddings(labels, 512).to(device)
    began = time.perf_counter()
    report = evaluate_embeddings(embeddings, labels, device=device)
    _wait(device)
    return {
        "seconds": time.perf_counter() - began,
        "hap": report.means["hap"],
        "peak_gb": _peak(device),
    }


def agreement(device: torch.device) -> dict[str, float]:
    """Largest difference from double precision on the CPU: of losses, gradients and metrics.

    `bf16`: of embeddings that are rounded to it, inside autocast, from the same ones in double.
    """
    labels = data.labels(192, (48, 6, 2))
    exact = data.embeddings(labels, 64).double()
    found = {}
    for name, make in LOSSES.items():
        for label, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
            rounded = exact.to(dtype)
            results = []
            for embeddings in (rounded.double(), rounded.to(device)):
                own = embeddings.clone().requires_grad_()
                with torch.autocast(embeddings.device.type, torch.bfloat16):
                    value = make()(own, labels)
                (gradient,) = torch.autograd.grad(value, own)
                results.append((value.detach().cpu().double(), gradient.cpu().double()))
            (value, gradient), (here, own_gradient) = results
            found[f"{name}_{label}"] = float((here - value).abs())
            difference = (own_gradient - gradient).abs().max()
            found[f"{name}_{label}_gradient"] = float(difference / gradient.abs().max())
    here = evaluate_embeddings(exact.float(), labels).means
    there = evaluate_embeddings(exact.float().to(device), labels, device=device).means
    found["metrics"] = max(abs(here[name] - there[name]) for name in here)
    return found


def cluster_memory(device: torch.device, classes: int) -> dict[str, float]:
    """Peak memory of a cluster loss above its parameters, 512-d, batch 256 (aim: under 1 GB)."""
    loss = ClusterLoss(classes, 512).to(device)
    _reset_peak(device)
    before = _peak(device)
    embeddings = torch.nn.functional.normalize(torch.randn(256, 512, device=device), dim=1)
    labels = torch.randint(classes, (256, 1), device=device)
    loss(embeddings.requires_grad_(), labels).backward()
    return {"peak_gb": _peak(device) - before}


def photograph(random: np.random.Generator, width: int, height: int) -> bytes:
    """A drawn JPEG, quality 90, with the detail at every scale that photographs have."""
    drawn = random.normal(0, 4, (height, width, 3))
    for step in (2**power for power in range(1, 9)):
        small = random.normal(0, step**0.8, (3, height // step + 2, width // step + 2))
        for at, channel in enumerate(small.astype(np.float32)):
            image = Image.fromarray(channel)
            drawn[..., at] += np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    content = io.BytesIO()
    Image.fromarray(np.clip(drawn + 120, 0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


def encoding_rate(device: torch.device, images: int, name: str) -> dict[str, float]:
    """Images a second from files of 683 x 512 pixels to vectors, and of the model alone.

    The model of open_clip has random weights. Aim: 80 % of the model alone.
    """
    import open_clip
    from strata_labels.embedding import load_encoder

    random = np.random.default_rng(0)
    files = [photograph(random, 683, 512) for _ in range(min(images, 64))]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        torch.save(open_clip.create_model(name, device=device).state_dict(), weights)
        encoder = load_encoder(f"{name}/{weights}")
        for _ in encoder.image_batches(files):  # loads the weights
            pass
    began = time.perf_counter()
    encoded = files * (images // len(files))
    for _ in encoder.image_batches(encoded):
        pass
    whole = len(encoded) / (time.perf_counter() - began)
    tower, _, _ = encoder.image_tower()
    rows = 64 if device.type == "cuda" else 8
    pixels = torch.randn(rows, 3, *tower.image_size, device=device)

    def alone() -> None:
        on_gpu = device.type == "cuda"
        with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=on_gpu):
            tower(pixels)

    rate = rows / seconds(alone, device, 20 if device.type == "cuda" else 3)
    return {
        "images_per_second": whole,
        "model_alone": rate,
        "ratio": whole / rate,
        "kb_a_file": sum(map(len, files)) / len(files) / 1e3,
    }


def gpu_tests() -> dict[str, float]:
    """The tests of `tests` that a GPU can run, on it; their output is shown where one fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-k", "on_gpu", "-p", "no:cacheprovider"]
    command += ["tests/training/test_gpu_paths.py", "tests/embedding/test_gpu_encoding.py"]
    environment = {**os.environ, "STRATA_TEST_GPU": "1"}
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", ran.stdout)}
    if ran.returncode:
        print(ran.stdout[-6000:], ran.stderr[-2000:], flush=True)
    return {"status": ran.returncode, **counts}


def network_rate(
    device: torch.device, steps: int, batch: int, backbone: str, compile: bool = False
) -> dict[str, float]:
    """Images a second of full mode on drawn pictures, against the network alone (aim: 90 %).

    Alone: forward and backward of pixels that lie on the device, not compiled.
    """
    from strata_labels.training import load_recipe
    from strata_labels.training.image_loading import TrainImages, random_transform
    from strata_labels.training.model import build_model
    from strata_labels.training.trainer import Trainer

    settings = [f"backbone={backbone}", "pretrained=no", "freeze_batch_norm=false"]
    settings += [f"batch_size={batch}", "epochs=2", "warmup_epochs=0"]
    recipe = load_recipe("happier-inat-base", "full", settings)
    model = build_model(recipe)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    random = np.random.default_rng(0)
    labels = torch.arange(batch * (steps + 1))[:, None] // torch.tensor([4, 16])
    times: list[float] = []

    def after_step(trainer: Trainer, size: int) -> bool:
        times.append(time.perf_counter())  # the loss of the step before is there
        return False

    with tempfile.TemporaryDirectory() as folder:
        drawn = []
        for number in range(min(batch, 64)):
            drawn.append(Path(folder) / f"{number}.jpg")
            drawn[-1].write_bytes(photograph(random, 256, 256))
        paths = (drawn * (len(labels) // len(drawn) + 1))[: len(labels)]
        images = TrainImages(
            paths,
            labels[:, 0].numpy(),
            random_transform(recipe),
            0,
            min(16, os.cpu_count() or 1),
            pin=device.type == "cuda",
        )
        trainer = Trainer(model, recipe, labels, images, device=device, compile=compile)
        trainer.run(after_step, steps)
    kept = times[steps // 3 :]  # without the time until the workers are ahead
    full = batch * (len(kept) - 1) / (kept[-1] - kept[0])
    pixels = torch.randn(batch, 3, recipe.crop, recipe.crop, device=device)

    def alone() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            own = model(pixels)
        own.float().square().sum().backward()

    rate = batch / seconds(alone, device, 3)
    return {"images_per_second": full, "network_alone": rate, "ratio": full / rate}


def two_processes() -> dict[str, float]:
    """Largest difference of the losses of two processes on one card (gloo) from this process."""
    tests = str(ROOT / "tests")
    sys.path.append(tests)
    import training_steps
    from strata_labels.training import load_recipe
    from strata_labels.training.processes import process_group

    with process_group() as processes:
        one = training_steps.trainer(
            load_recipe("happier", "full", training_steps.SMALL), processes
        )
        one.run(steps=20)
    with tempfile.TemporaryDirectory() as folder:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        command = [sys.executable, *torchrun, "-m", "training_steps", folder, "happier"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, *sys.path])}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        two = torch.load(Path(folder) / "happier.pt")["history"][:, 2]
    own = torch.tensor([row[2] for row in one.history])
    return {"largest_difference": float((two - own).abs().max())}


def main() -> None:
    """Runs all that can be run here; prints one line each, and writes `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batch", type=int, default=4096, help="of SupHAP")
    parser.add_argument("--items", type=int, default=136_093, help="of the report")
    parser.add_argument("--classes", type=int, default=100_000, help="of the cluster loss")
    parser.add_argument("--steps", type=int, default=100, help="of the network")
    parser.add_argument("--images", type=int, default=16_384, help="to encode")
    parser.add_argument("--model", default="ViT-L-14", help="of open_clip, that encodes them")
    parser.add_argument("--network-batch", type=int, default=256)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--only", default="", help="parts whose title begins so, apart by commas")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was run")
        raise SystemExit(2)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, Python {sys.version.split()[0]}", flush=True)
    work: dict[str, Callable[[], dict[str, float]]] = {
        "agreement with double precision": lambda: agreement(device),
        f"SupHAP, batch {options.batch:,}": lambda: loss_times(device, options.batch),
        f"cluster loss, {options.classes:,} classes": lambda: cluster_memory(
            device, options.classes
        ),
        "tests": gpu_tests,
        "two processes": two_processes,
        f"{options.model}, encoding": lambda: encoding_rate(device, options.images, options.model),
        f"{options.backbone}, full mode": lambda: network_rate(
            device, options.steps, options.network_batch, options.backbone
        ),
        f"report, {options.items:,} items": lambda: report_time(device, options.items),
        f"{options.backbone}, full mode, compiled": lambda: network_rate(
            device, options.steps, options.network_batch, options.backbone, compile=True
        ),
    }
    if device.type == "cpu":
        del work["tests"]
    results: dict[str, Any] = {"device": name, "torch": torch.__version__}
    for title, run in work.items():
        if not title.startswith(tuple(options.only.split(","))):
            continue
        _reset_peak(device)
        try:
            results[title] = run()
        except ImportError as error:
            results[title] = f"skipped: {error}"
        except subprocess.CalledProcessError as error:
            results[title] = f"failed: status {error.returncode}"
        print(f"{title}: {_shown(results[title])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _shown(result: Any) -> str:
    if isinstance(result, str):
        return result
    return ", ".join(f"{key} {value:.4g}" for key, value in result.items())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float:
    """GB of the device, 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0


if __name__ == "__main__":
    main()
