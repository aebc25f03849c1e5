"""Fixtures shared by all rooms' tests."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from building import SAMPLE, PrefectServer, Strata, run_strata, strata_environment
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

# The same examples in every run, so that green stays green; `--hypothesis-profile=search` looks on.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile("same")

ROOT = Path(__file__).resolve().parents[1]
gc.set_threshold(100_000, 50, 1000)  # as `strata` does
# A command flushes a hundred files and folders to disk, for a power cut. Files of tests meet none;
# processes that tests kill flush theirs. A closed descriptor is refused as before.
os.fsync = lambda descriptor: os.fstat(descriptor) and None
# Commands that tests run one after another share the parsers of all options.
typer.main.get_command = typer.testing._get_command = cache(typer.main.get_command)
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
if not os.environ.get("STRATA_TEST_GPU"):  # tests do the same on every machine
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
#: The files that take longest, longest first.
LONGEST = [
    "tests/test_readme.py",
    "tests/test_demo.py",
    "tests/build/test_moved_workspaces.py",
    "tests/flows/test_flows.py",
    "tests/test_kill.py",
    "tests/build/test_given_labels.py",
    "tests/training/test_train_command.py",
    "tests/export/test_every_loader.py",
    "tests/build/test_runner.py",
    "tests/training/test_gpu_paths.py",
    "tests/training/test_gpu_benchmark.py",
    "tests/orchestration/test_workers.py",
    "tests/build/test_published.py",
    "tests/test_package.py",
    "tests/build/test_split.py",
    "tests/build/test_simulate.py",
    "tests/export/test_corrections.py",
    "tests/cli/test_build_command.py",
    "tests/review/page/test_browser.py",
]
#: Files that use `prefect_server`: one process of pytest-xdist runs them, so that one is started.
WITH_SERVER = (
    "tests/flows/",
    "tests/orchestration/test_server.py",
    "tests/orchestration/test_tasks.py",
    "tests/test_demo.py",  # its flow starts from the same kept database
)
#: The accessibility checker, from the npm registry; it is not kept in the repository.
AXE = "axe-core@4.10.3"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts the longest files first: at the end all workers have something to do."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.location[0], len(place)))


class FileScheduling(LoadFileScheduling):
    """Gives whole files to the processes of pytest-xdist, those of WITH_SERVER to one."""

    def _split_scope(self, nodeid: str) -> str:
        return "flows" if nodeid.startswith(WITH_SERVER) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling | None:
    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the checkout; tests that need it are skipped where it is not."""
    folder = Path(os.environ.get("STRATA_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture
def gpu() -> Callable[[], AbstractContextManager[None]]:
    """Inside `with gpu():` there is a GPU: the machine's with STRATA_TEST_GPU=1, else simulated."""
    import simulated_gpu

    return simulated_gpu.real_gpu if simulated_gpu.ON_GPU else simulated_gpu.simulated_gpu


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of the run share."""
    folder = tmp_path_factory.getbasetemp()
    # Each process of pytest-xdist has a folder of its own in it.
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def home(run_folder: Path) -> Path:
    """One home folder for all commands of the run, so that the encoder is joined once."""
    home = run_folder / "home"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture(scope="session")
def strata(home: Path) -> Strata:
    """Runs `strata` with the given words, in this process; returns status and output."""
    return partial(run_strata, folder=home, home=home)


@pytest.fixture(scope="session")
def prefect_server(
    home: Path, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrefectServer]:
    """A server for the flows of the session: to start one takes longer than most flows.

    It finds a damaged copy of an empty database, and makes it anew.
    """
    from strata_labels.orchestration.server import kept_database, temporary_server

    data = tmp_path_factory.mktemp("prefect")
    with ExitStack() as server:
        # One process's server is the first with this home, and keeps its empty database.
        with (run_folder / "prefect.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
            fcntl.flock(lock, fcntl.LOCK_EX)
            patch.setenv("HOME", str(home))
            patch.delenv("XDG_CACHE_HOME", raising=False)
            kept_database().parent.mkdir(parents=True, exist_ok=True)
            damaged = run_folder / "damaged.db"
            damaged.write_bytes(b"no database")
            damaged.replace(kept_database())  # another test's server may be reading the old one
            address = server.enter_context(temporary_server(data))
        environment = {**strata_environment(home), "PREFECT_API_URL": address}
        yield PrefectServer(environment, data / "prefect.db")


@pytest.fixture(scope="session")
def sample_words() -> list[str]:
    """The words of a build of the embedded sample, TREE and WORKSPACE left out."""
    entities = str(SAMPLE / "entities.jsonl")
    return ["--metadata", str(SAMPLE), "--entities", entities, "--encoder", "registry"]


@pytest.fixture(scope="session")
def sample_build(
    strata: Strata, sample_words: list[str], run_folder: Path
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished build of the embedded sample, once a run. Copy its folder before a change."""
    folder = run_folder / "sample"
    folder.mkdir(exist_ok=True)
    workspace, ended = folder / "ws", folder / "ended.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ended.exists():
            run = strata("build", "gldv2-h", workspace, *sample_words)
            ended.write_text(json.dumps(vars(run)))
    return workspace, subprocess.CompletedProcess(**json.loads(ended.read_text()))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(pytestconfig: pytest.Config) -> Callable[[Any], list[str]]:
    """Lists what axe-core finds wrong on a browser's page; it is downloaded once by npm."""
    folder = pytestconfig.cache.mkdir("axe")
    script = folder / f"{AXE}.js"
    if not script.is_file():
        words = ["npm", "pack", AXE, "--silent", "--pack-destination", str(folder)]
        try:
            packed = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{AXE} cannot be had by npm: {error}")
        with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
            inner = archive.extractfile("package/axe.min.js")
            assert inner is not None
            script.write_bytes(inner.read())
    source = script.read_text(encoding="utf-8")

    def violations(page: Any) -> list[str]:
        page.evaluate(source)
        # Elements that are not wrong are not listed, which takes half of the time.
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]}"
            for one in found
            for node in one["nodes"]
        ]

    return violations
