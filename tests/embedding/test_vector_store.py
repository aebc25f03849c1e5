from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from strata_labels.embedding import Encoder, VectorStore, embed_texts, prompt_vectors
from strata_labels.embedding.store import text_key
from strata_labels.errors import InputError


def _keys(count: int, start: int = 0) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(start, start + count)]


def _vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)


def _count_rows(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches that reach open_clip's text tower from now on."""
    model, batches = encoder._loaded.model, []
    real = model.encode_text

    def counting(tokens, normalize=False):
        batches.append(len(tokens))
        return real(tokens, normalize=normalize)

    monkeypatch.setattr(model, "encode_text", counting)
    return batches


def test_what_is_added_is_found_by_a_later_run(tmp_path: Path) -> None:
    keys, vectors = _keys(100), _vectors(100)
    log = VectorStore(tmp_path).log("ViT/tag", "text")
    log.add(keys[:60], vectors[:60])
    log.add(keys[60:], vectors[60:])
    store = VectorStore(tmp_path)
    found = store.log("ViT/tag", "text").vectors(keys[::-1])
    assert found.tobytes() == vectors[::-1].tobytes()
    assert len(store.log("ViT/tag", "image")) == len(store.log("ViT_tag2", "text")) == 0
    assert store.damaged == []
    with pytest.raises(ValueError, match="do not fit"):
        log.add(_keys(1, 200), np.zeros((1, 7), np.float32))


def test_two_writers_share_a_log(tmp_path: Path) -> None:
    keys, vectors = _keys(40), _vectors(40)
    one, two = (VectorStore(tmp_path).log("e", "text") for _ in range(2))
    for start in range(0, 40, 8):
        one.add(keys[start : start + 4], vectors[start : start + 4])
        two.add(keys[start + 4 : start + 8], vectors[start + 4 : start + 8])
    even = [n for n in range(40) if n % 8 < 4]
    assert one.vectors([keys[n] for n in even]).tobytes() == vectors[even].tobytes()
    assert VectorStore(tmp_path).log("e", "text").vectors(keys).tobytes() == vectors.tobytes()


@pytest.mark.parametrize("cut", [1, 31, 59, 60, 61])
def test_a_torn_tail_loses_only_itself(tmp_path: Path, cut: int) -> None:
    keys, vectors = _keys(10), _vectors(10)
    log = VectorStore(tmp_path).log("e", "text")
    log.add(keys, vectors)
    record = 32 + 6 * 4 + 4
    os.truncate(log.path, log.path.stat().st_size - cut)
    kept = 10 - -(-cut // record)
    log = VectorStore(tmp_path).log("e", "text")
    assert len(log) == kept and log.damaged == []
    log.add(keys[kept:], vectors[kept:])
    assert VectorStore(tmp_path).log("e", "text").vectors(keys).tobytes() == vectors.tobytes()


def test_a_damaged_record_is_named_and_set_aside(tmp_path: Path) -> None:
    keys, vectors = _keys(10), _vectors(10)
    log = VectorStore(tmp_path).log("e", "text")
    log.add(keys, vectors)
    content = bytearray(log.path.read_bytes())
    content[512 + 3 * 60 + 40] ^= 1
    log.path.write_bytes(content)
    store = VectorStore(tmp_path)
    log = store.log("e", "text")
    assert [key in log for key in keys] == [n != 3 for n in range(10)]
    assert str(log.path) in store.damaged[0] and "text.vectors.damaged-1" in store.damaged[0]
    assert (log.path.parent / "text.vectors.damaged-1").stat().st_size == 60
    log.add([keys[3]], vectors[3:4])
    again = VectorStore(tmp_path)
    assert again.log("e", "text").vectors(keys).tobytes() == vectors.tobytes()
    assert again.damaged == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}".ljust(511) + b"\n", b"\0" * 2000])
def test_a_log_without_its_header_is_set_aside_whole(tmp_path: Path, content: bytes) -> None:
    log = VectorStore(tmp_path).log("e", "text")
    log.add(_keys(3), _vectors(3))
    log.path.write_bytes(content)
    store = VectorStore(tmp_path)
    log = store.log("e", "text")
    assert len(log) == 0
    assert len(store.damaged) == (content != b"")
    log.add(_keys(3), _vectors(3))
    assert len(VectorStore(tmp_path).log("e", "text")) == 3


def test_no_text_is_encoded_twice(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"church {n}" for n in range(50)]
    tiny.encode_texts(texts[:1])
    batches = _count_rows(tiny, monkeypatch)
    first = embed_texts(VectorStore(tmp_path), tiny, [*texts, *texts])
    assert first[:50].tobytes() == first[50:].tobytes() and sum(batches) == 64
    again = embed_texts(VectorStore(tmp_path), tiny, texts[::-1])
    assert again.tobytes() == first[:50][::-1].tobytes() and sum(batches) == 64
    embed_texts(VectorStore(tmp_path), tiny, [*texts, "one more"])
    assert sum(batches) == 96
    assert embed_texts(VectorStore(tmp_path), tiny, []).shape == (0, 16)


def test_killed_and_resumed_gives_the_same_bits(
    tiny: Encoder, tiny_folder: Path, tmp_path: Path
) -> None:
    texts = [f"church {'of the old town ' * (n % 4)}{n}" for n in range(30_000)]
    code = f"""
from pathlib import Path
from strata_labels.embedding import VectorStore, embed_texts, load_encoder
texts = [f"church {{'of the old town ' * (n % 4)}}{{n}}" for n in range(30_000)]
store = VectorStore(Path({str(tmp_path / "a")!r}))
embed_texts(store, load_encoder("local-dir:{tiny_folder}"), texts)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    log = tmp_path / "a" / tiny.id / "text.vectors"
    while not (log.exists() and log.stat().st_size > 20_000):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = VectorStore(tmp_path / "a").log(tiny.id, "text")
    assert 0 < len(kept) < 30_000
    known = [text for text in texts if text_key(text) in kept]
    sample = [*known[-300:], *[text for text in texts if text_key(text) not in kept][-300:]]
    resumed = embed_texts(VectorStore(tmp_path / "a"), tiny, sample)
    whole = embed_texts(VectorStore(tmp_path / "b"), tiny, sample[::-1])[::-1]
    assert resumed.tobytes() == whole.tobytes()
    assert len(VectorStore(tmp_path / "a").log(tiny.id, "text")) == len(kept) + 300


def test_prompts_are_averaged_over_templates(tiny: Encoder, tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    found = prompt_vectors(store, tiny, ["church", "lake {}"], ["A picture of a {}", "{}, a place"])
    parts = tiny.encode_texts(
        ["A picture of a lake {}", "lake {}, a place"],
    )
    mean = parts.mean(axis=0)
    np.testing.assert_allclose(found[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert prompt_vectors(store, tiny, [], ["{}"]).shape[0] == 0
    with pytest.raises(InputError, match=r"without \{\}"):
        prompt_vectors(store, tiny, ["church"], ["A picture"])
    with pytest.raises(InputError, match="no prompt template"):
        prompt_vectors(store, tiny, ["church"], [])
