"""Classes of the knowledge base as evidence in a table of one's own, printed as a table.

    python -m benchmarks.class_chains --shared DIR [--seeds 0 10]

Landmarks of the real sample whose name is the English label of one recorded Wikidata item, as
`id, name, qid, kind, top`; half of them have no label.
Built by the command with the names alone, the classes alone, and both.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from benchmarks.proposal import read_sample

ENTITY, DIRECT = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"


def named_items(shared: Path) -> pd.DataFrame:
    """Labelled landmarks of the sample with the one item of their name: `name, qid, kind, top`."""
    sample = read_sample(shared)
    sample = sample[sample["label"].notna()]
    items = pd.read_csv(shared / "wikidata" / "labels.en.tsv.gz", sep="\t", dtype=str, quoting=3)
    classed = pd.read_csv(shared / "wikidata" / "derived.P31.tsv.gz", sep="\t", dtype=str)
    items = items[items["node1"].isin(classed["node1"])]
    names = items["node2"].str.removeprefix("'").str.removesuffix("'@en")
    qid = items.assign(name=names).drop_duplicates("name", keep=False).set_index("name")["node1"]
    sample = sample.assign(qid=sample["name"].map(qid))
    sample = sample[sample["qid"].notna()].rename(columns={"label": "kind"})
    sample["top"] = sample["natural_or_human_made"]
    return sample[["name", "qid", "kind", "top"]].reset_index(drop=True)


def write_entities(shared: Path, qids: list[str], path: Path) -> None:
    """The items and all recorded classes as truthy N-Triples."""
    lines = []
    for file, wanted in (("P31", set(qids)), ("P279", None)):
        table = pd.read_csv(shared / "wikidata" / f"derived.{file}.tsv.gz", sep="\t", dtype=str)
        if wanted is not None:
            table = table[table["node1"].isin(wanted)]
        for below, above in zip(table["node1"], table["node2"], strict=True):
            triple = f"<{ENTITY}{below}> <{DIRECT}{file}> <{ENTITY}{above}> .\n"
            lines.append((int(below[1:]), triple))
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(line for _, line in sorted(lines))


def build(
    folder: Path, table: pd.DataFrame, entities: Path | None, known: np.ndarray
) -> pd.DataFrame:
    """The assignments of the items without a label."""
    from strata_labels.cli import app

    folder.mkdir()
    table = table.copy()
    table.loc[~known, ["kind", "top"]] = ""
    table.to_csv(folder / "items.csv", index_label="id")
    command = ["build", "table", str(folder / "ws"), "--items", str(folder / "items.csv")]
    command += ["--entities", str(entities)] if entities else []
    result = CliRunner().invoke(app, command)
    if result.exit_code not in (0, 3):
        raise SystemExit(result.output)
    found = pd.read_parquet(folder / "ws" / "tables" / "assignments.parquet")
    own = found["item_id"].str.rsplit("/", n=1).str[-1].astype(int)
    return found.set_index(own).loc[np.flatnonzero(~known)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "END"))
    chosen = parser.parse_args()
    table = named_items(chosen.shared)
    print(f"{len(table)} items, {table['kind'].nunique()} kinds")
    rows = []
    with tempfile.TemporaryDirectory() as spare:
        entities = Path(spare) / "entities.nt.gz"
        write_entities(chosen.shared, table["qid"].tolist(), entities)
        for seed in range(*chosen.seeds):
            known = np.random.default_rng(seed).random(len(table)) < 0.5
            for evidence in ("names", "classes", "both"):
                given = table.drop(columns="name" if evidence == "classes" else [])
                folder = Path(spare) / f"{seed}-{evidence}"
                found = build(folder, given, None if evidence == "names" else entities, known)
                truth = table.loc[found.index]
                rows.append(
                    {
                        "evidence": evidence,
                        "kind": (found["level1_name"] == truth["kind"]).mean(),
                        "top": (found["level2_name"] == truth["top"]).mean(),
                        "can be right": truth["kind"].isin(table.loc[known, "kind"]).mean(),
                    }
                )
    shown = pd.DataFrame(rows).groupby("evidence", sort=False).agg(["mean", "std"])
    print(shown.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
