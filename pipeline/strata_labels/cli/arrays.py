"""Embeddings and labels that a user hands over as .npy or .parquet files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata_labels.errors import InputError, Problem
from strata_labels.people_csv import UNKNOWN_LABEL
from strata_labels.tables import read_parquet


def read_embeddings(path: Path) -> np.ndarray:
    """Embeddings `[n, d]` as stored, float16 to float64.

    A .parquet file holds them in its one column of lists, or in its columns of floats.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    if path.suffix == ".parquet":
        table = read_parquet(path)
        lists = [field.name for field in table.schema if _is_list(field.type)]
        if len(lists) == 1:
            array = _stack(path, table[lists[0]])
        elif lists:
            raise _wrong(path, "more than one column of lists:", "Keep one.", value=lists)
        else:
            array = _columns(
                path, table, [f.name for f in table.schema if pa.types.is_floating(f.type)]
            )
    else:
        array = _read_npy(path)
    if array.dtype.kind != "f" or array.ndim != 2:
        raise _wrong(
            path,
            f"not a table of floats [n, d], but {array.dtype} of shape",
            "Save embeddings as a two-dimensional float array.",
            value=array.shape,
        )
    if array.dtype.itemsize > 8:
        raise _wrong(path, f"floats of type {array.dtype}", "Save float16, float32 or float64.")
    return _plain(array)


def read_labels(path: Path) -> np.ndarray:
    """Labels `[n, L]` as int64; a vector is one level.

    A .parquet file holds them in columns level0, level1, ... or in its columns of integers. Level
    columns of text, as a training leaves them in test_items.parquet, are classes by name: one name
    has one number, in whatever file.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    if path.suffix == ".parquet":
        table = read_parquet(path)
        names = [field.name for field in table.schema if pa.types.is_integer(field.type)]
        levels = [f"level{level}" for level in range(len(table.schema))]
        named = [name for name in levels if name in table.schema.names]
        for name in named:
            if _is_text(table.schema.field(name).type):
                at, text = table.schema.get_field_index(name), table[name].cast(pa.string())
                blank = pc.equal(pc.utf8_trim_whitespace(text), "")
                text = pc.if_else(blank, pa.scalar(None, pa.string()), text)
                _no_blanks(path, name, text)
                table = table.set_column(at, name, _numbers(text))
        array = _columns(path, table, named or names)
    else:
        array = _read_npy(path)
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise _wrong(
            path,
            f"not a table of integers [n, levels], but {array.dtype} of shape",
            "Save labels as an integer array, column 0 the finest level, or in Parquet as columns "
            "level0, level1, ... of integers or text.",
            value=array.shape,
        )
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise _wrong(
            path,
            "a label overflows a signed 64-bit integer:",
            "Number the classes from 0.",
            value=int(array.max()),
        )
    return array.astype(np.int64)


def _numbers(names: pa.ChunkedArray) -> pa.Array:
    """A lasting number for each name of a class; -1 for what stands for an unknown one."""
    coded = names.combine_chunks().dictionary_encode()
    numbers = [
        -1
        if re.fullmatch(UNKNOWN_LABEL, name)
        else int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 1
        for name in coded.dictionary.to_pylist()
    ]
    return pa.array(numbers, pa.int64()).take(coded.indices)


def _plain(array: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order, writable, as torch wants it."""
    return np.require(array, dtype=array.dtype.newbyteorder("="), requirements="W")


def _read_npy(path: Path) -> np.ndarray:
    if path.suffix != ".npy":
        raise _wrong(path, "neither .npy nor .parquet", "Save it as one of these.")
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise _wrong(path, "no such file", "Check the path.") from None
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise _wrong(path, f"cannot be read ({error})", "Save the array again.") from error


def _columns(path: Path, table: pa.Table, names: list[str]) -> np.ndarray:
    if not names:
        raise _wrong(
            path,
            "no column to take, of",
            "Labels are columns level0, level1, ... of integers or text, embeddings one column of "
            "lists.",
            value=table.schema.names,
        )
    for name in names:
        _no_blanks(path, name, table[name])
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def _stack(path: Path, column: pa.ChunkedArray) -> np.ndarray:
    _no_blanks(path, None, column)
    lists = column.combine_chunks()
    values = lists.flatten()
    _no_blanks(path, None, values)
    lengths = np.unique(pc.list_value_length(lists).to_numpy(zero_copy_only=False))
    if len(lengths) > 1:
        raise _wrong(
            path,
            "lists of different lengths:",
            "Give every row the same dimension.",
            value=lengths[:10].tolist(),
        )
    width = int(lengths[0]) if len(lengths) else 0
    return values.to_numpy(zero_copy_only=False).reshape(len(lists), width)


def _no_blanks(path: Path, name: str | None, column: pa.ChunkedArray | pa.Array) -> None:
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(
            Problem(path, "a blank value", "Fill it in or leave the row out.", row + 1, name)
        )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _wrong(path: Path, what: str, fix: str, value: object = None) -> InputError:
    return InputError(Problem(path, what, fix, value=value))
