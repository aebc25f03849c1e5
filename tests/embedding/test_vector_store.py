"""The vector store: nothing is encoded twice, and damage costs no more than one part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from copies import started, wait_until
from encoding import encode_texts
from strata_labels.embedding import Encoder, VectorStore, load_encoder, prompt_vectors
from strata_labels.embedding.vector_store import VectorTable, text_key
from strata_labels.embedding.vectors import embed_texts
from strata_labels.errors import InputError, RetryError


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


def _add(folder: Path, keys: list[bytes], vectors: np.ndarray) -> VectorTable:
    table = VectorStore(folder).table("ViT/tag", "text")
    with table.writer() as add:
        add(keys, vectors)
    return table


def _found(folder: Path, keys: list[bytes]) -> np.ndarray:
    table = VectorStore(folder).table("ViT/tag", "text")
    assert table.missing(keys) == []
    return table.vectors(keys)


def test_what_is_added_is_found_by_a_later_run(tmp_path: Path) -> None:
    keys, vectors = _keys(100), _vectors(100)
    _add(tmp_path, keys[:60], vectors[:60])
    table = _add(tmp_path, keys[60:], vectors[60:])
    assert table.vectors(keys).tobytes() == vectors.tobytes()
    assert _found(tmp_path, keys[::-1]).tobytes() == vectors[::-1].tobytes()
    assert _found(tmp_path, [keys[7], keys[70], keys[7]]).tobytes() == vectors[[7, 70, 7]].tobytes()
    store = VectorStore(tmp_path)
    assert store.table("ViT/tag", "text").missing([*_keys(2, 200), keys[3]]) == _keys(2, 200)
    assert all(
        store.table(*other).missing(keys) == keys
        for other in (("ViT/tag", "image"), ("ViT_tag2", "text"))
    )
    with pytest.raises(ValueError, match="do not fit"):
        _add(tmp_path, _keys(1, 200), np.zeros((1, 7), np.float32))


def test_parts_are_written_while_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strata_labels.embedding.vector_store._PART_VECTORS", 8)
    keys, vectors = _keys(20), _vectors(20)
    table = VectorStore(tmp_path).table("ViT/tag", "text")
    with pytest.raises(KeyboardInterrupt), table.writer() as add:
        for start in range(0, 16, 4):
            add(keys[start : start + 4], vectors[start : start + 4])
        assert VectorStore(tmp_path).table("ViT/tag", "text").missing(keys) == keys[16:]
        add(keys[16:18], vectors[16:18])
        raise KeyboardInterrupt
    assert _found(tmp_path, keys[:18]).tobytes() == vectors[:18].tobytes()


def test_two_writers_share_a_table(tmp_path: Path) -> None:
    keys, vectors = _keys(40), _vectors(40)
    one, two = (VectorStore(tmp_path).table("ViT/tag", "text") for _ in range(2))
    with one.writer() as add, two.writer() as add_too:
        add(keys[:25], vectors[:25])
        add_too(keys[15:], vectors[15:])
    assert one.vectors(keys[:25]).tobytes() == vectors[:25].tobytes()
    assert _found(tmp_path, keys).tobytes() == vectors.tobytes()


@pytest.mark.parametrize("damage", ["short", "empty", "garbage", "a vector", "a key", "the header"])
def test_a_damaged_part_is_named_and_set_aside(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys, vectors = _keys(10), _vectors(10)
    _add(tmp_path, keys[:6], vectors[:6])
    (part,) = tmp_path.glob("*/text/part-*.vectors")
    _add(tmp_path, keys[6:], vectors[6:])
    content = bytearray(part.read_bytes())
    at = {"a vector": -3, "a key": 600, "the header": 20}
    if damage in at:
        content[at[damage]] ^= 1
    part.write_bytes(
        {"short": content[:-1], "empty": b"", "garbage": b"x" * 900}.get(damage, content)
    )
    table = VectorStore(tmp_path).table("ViT/tag", "text")
    assert table.missing(keys) == keys[:6]
    assert str(part) in caplog.messages[0] and f"{part.stem}.damaged" in caplog.messages[0]
    assert table.vectors(keys[6:]).tobytes() == vectors[6:].tobytes()
    with table.writer() as add:
        add(keys[:6], vectors[:6])
    assert table.vectors(keys).tobytes() == vectors.tobytes()
    assert _found(tmp_path, keys).tobytes() == vectors.tobytes()


def test_a_table_has_more_parts_than_files_may_be_open(tmp_path: Path) -> None:
    keys, vectors = _keys(30), _vectors(30)
    for n in range(30):
        _add(tmp_path, keys[n : n + 1], vectors[n : n + 1])
    wanted = [key.hex() for key in keys]
    code = f"""
import resource
from pathlib import Path
from strata_labels.embedding import VectorStore
used = len(list(Path("/proc/self/fd").iterdir()))
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, used + 10))
table = VectorStore(Path({str(tmp_path)!r})).table("ViT/tag", "text")
assert not table.missing([bytes.fromhex(key) for key in {wanted}])
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not list(tmp_path.rglob("*.damaged"))
    assert _found(tmp_path, keys).tobytes() == vectors.tobytes()


def test_a_part_that_cannot_be_opened_now_stays(tmp_path: Path) -> None:
    _add(tmp_path, _keys(2), _vectors(2))
    folder = next(tmp_path.glob("*/text"))
    (folder / "part-0.vectors").mkdir()
    with pytest.raises(RetryError, match="cannot be read"):
        VectorStore(tmp_path).table("ViT/tag", "text")
    assert sorted(path.suffix for path in folder.iterdir()) == [".vectors", ".vectors"]


def test_a_store_of_version_0_1_0_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ViT_tag").mkdir()
    (tmp_path / "ViT_tag" / "text.vectors").write_bytes(b"{}".ljust(512) + b"x" * 600)
    assert VectorStore(tmp_path).table("ViT/tag", "text").missing(_keys(2)) == _keys(2)
    _add(tmp_path, _keys(2), _vectors(2))
    assert _found(tmp_path, _keys(2)).tobytes() == _vectors(2).tobytes()


def test_no_text_is_encoded_twice(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"church {n}" for n in range(50)]
    encode_texts(tiny, texts[:1])
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
    first = load_encoder(f"local-dir:{tiny_folder}")  # loads its weights in the copy
    with started(embed_texts, VectorStore(tmp_path / "a"), first, texts) as copy:
        wait_until(copy, lambda: bool(list((tmp_path / "a").glob("*/text/part-*.vectors"))))
    kept = VectorStore(tmp_path / "a").table(tiny.id, "text")
    missing = set(kept.missing(map(text_key, texts)))
    assert 0 < len(missing) < 30_000
    known = [text for text in texts if text_key(text) not in missing]
    sample = [*known[-300:], *[text for text in texts if text_key(text) in missing][-300:]]
    resumed = embed_texts(VectorStore(tmp_path / "a"), tiny, sample)
    whole = embed_texts(VectorStore(tmp_path / "b"), tiny, sample[::-1])[::-1]
    assert resumed.tobytes() == whole.tobytes()
    after = VectorStore(tmp_path / "a").table(tiny.id, "text")
    assert len(after.missing(map(text_key, texts))) == len(missing) - 300


def test_prompts_are_averaged_over_templates(tiny: Encoder, tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    found = prompt_vectors(store, tiny, ["church", "lake {}"], ["A picture of a {}", "{}, a place"])
    parts = encode_texts(
        tiny,
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
