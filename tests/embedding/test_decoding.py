"""Pictures are decoded in order, in this thread, in others or in processes, with one result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from strata_labels.build import Workspace
from strata_labels.embedding.decoding import Decoded, PictureDecoder, decode
from strata_labels.errors import RetryError
from tiny_clip import colour_image
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

WAYS = pytest.mark.parametrize(("cores", "processes"), [(1, False), (2, False), (2, True)])


@pytest.fixture
def decoder() -> PictureDecoder:
    return PictureDecoder(Compose([Resize(32), CenterCrop(32), PILToTensor()]), 32)


@WAYS
def test_batches_are_in_order_with_what_is_damaged(
    cores: int, processes: bool, decoder: PictureDecoder, tmp_path: Path
) -> None:
    files: list[Path | bytes] = [
        colour_image(tmp_path / f"{n}.png", (10 * n, 0, 0), n, (40 + n, 50)) for n in range(20)
    ]
    files[4] = files[4].read_bytes()  # type: ignore[union-attr]
    files[9:13] = [b"no picture", tmp_path / "gone.jpg", b"", b"\xff\xd8"]  # a batch of them
    found = list(decode(decoder, iter(files), 4, cores, processes))
    assert [batch.positions for batch in found] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8],
        [13, 14, 15],
        [16, 17, 18, 19],
    ]
    assert sorted(n for batch in found for n in batch.damaged) == [9, 10, 11, 12]
    assert found[2].damaged[10] == "missing"
    assert found[1].names == ["an image of an archive", *(str(file) for file in files[5:8])]
    for batch in found:
        expected = [decoder(files[n]) for n in batch.positions]
        assert torch.equal(batch.pixels, torch.stack(expected))  # type: ignore[arg-type]


@WAYS
def test_an_error_of_the_source_comes_through(
    cores: int, processes: bool, decoder: PictureDecoder, tmp_path: Path
) -> None:
    def archive() -> Iterator[bytes]:
        for n in range(30):
            yield colour_image(tmp_path / f"{n}.png", (0, 0, 9), n).read_bytes()
        raise ValueError("the archive is damaged")

    taken: list[Decoded] = []
    with pytest.raises(ValueError, match="the archive is damaged"):
        taken.extend(decode(decoder, archive(), 4, cores, processes))


def test_processes_let_the_thread_that_drives_the_network_go_first(tmp_path: Path) -> None:
    files = [colour_image(tmp_path / f"{n}.png", (0, 0, 9), n) for n in range(3)]
    decoder = PictureDecoder(lambda _: torch.full((3, 1, 1), float(os.nice(0))), None)
    (first, last) = decode(decoder, files, 2, cores=2, processes=True)
    pixels = torch.cat([first.pixels, last.pixels])
    assert set(pixels.flatten().tolist()) == {min(os.nice(0) + 10, 19)}


def test_a_killed_process_is_one_sentence(tmp_path: Path) -> None:
    def killed(_: object) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    file = colour_image(tmp_path / "a.png", (0, 0, 9), 1)
    with pytest.raises(RetryError, match="was killed, often because memory was short"):
        list(decode(PictureDecoder(killed, None), [file] * 5, 4, 2, True))


def test_a_workspace_opens_at_once_after_its_owner_was_killed_while_processes_decode(
    tmp_path: Path,
) -> None:
    code = (
        "import itertools, sys\nfrom pathlib import Path\n"
        "from strata_labels.build import Workspace\n"
        "from strata_labels.embedding.decoding import PictureDecoder, decode\n"
        "from torchvision.transforms import PILToTensor\n"
        "folder = Path(sys.argv[1])\n"
        "with Workspace(folder / 'ws').locked('embed'):\n"
        "    files = itertools.repeat(folder / 'a.png')\n"
        "    for batch in decode(PictureDecoder(PILToTensor(), None), files, 4, 2, True):\n"
        "        print('decoding', flush=True)\n"
    )
    colour_image(tmp_path / "a.png", (0, 0, 9), 1)
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "decoding\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # else they end by themselves, a few seconds later
    process.kill()
    process.wait()
    try:
        with Workspace(tmp_path / "ws").locked("build"):
            assert not children.exists() or len(workers) == 2
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        process.stdout.close()
