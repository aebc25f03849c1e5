"""Time and memory of Wikidata work at full size: titles by the APIs, a synthetic dump, the closure.

    python -m benchmarks.knowledge titles [--number 300000] [--json out.json]
    python -m benchmarks.knowledge dump [--number 1000000] [--form json|nt] [--json out.json]
    python -m benchmarks.knowledge closure --shared DIR [--json out.json]

`titles` resolves categories against a local server and prints seconds and peak memory of the client
process, and its requests beside the least possible number. `dump` extracts 2 % of the categories
from a gzipped dump. `closure` computes the closure of the recorded subclass graph, and counts the
rows that differ from the recorded closure. `titles` and `dump` are measured in processes of their
own.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from dumps import json_dump, truthy_triples, write_dump  # noqa: E402
from mediawiki import MediaWiki, World, item  # noqa: E402
from strata_labels.files import write_json  # noqa: E402
from strata_labels.knowledge import (  # noqa: E402
    Apis,
    ClassGraph,
    Client,
    ResponseStore,
    resolve_titles,
    write_snapshot,
)
from strata_labels.knowledge.dump_extraction import DumpExtraction  # noqa: E402

CLASSES = 4000
LANGUAGES = "en de fr es it nl pl ru ja zh pt sv cs uk ca".split()  # noqa: SIM905


def made_up(number: int) -> dict[str, Any]:
    """A landmark (from Q5001) or a class (from Q1), about as large as Wikidata's."""
    if number <= CLASSES:
        above = [f"Q{number // 4 + 1}"] if number > 1 else []
        raw = item(f"Q{number}", f"class {number}", P279=above)
    else:
        raw = item(
            f"Q{number}", f"Place {number}", P31=[f"Q{number % CLASSES + 1}"], P17=["Q5000"],
            P373=[f"Place {number}"],
        )  # fmt: skip
        title = f"Category:Place {number}"
        raw["sitelinks"] = {"commonswiki": {"site": "commonswiki", "title": title}}
        # Statements that nobody here needs are the larger part of an item.
        photo = {"value": f"Place {number}.jpg", "type": "string"}
        other = {"snaktype": "value", "property": "P18", "hash": "0" * 40, "datavalue": photo}
        statement = {"mainsnak": other, "rank": "normal", "references": [other] * 3}
        raw["claims"]["P18"] = [statement] * 8
    names = {code: f"{code} name of {number}" for code in LANGUAGES}
    raw["labels"] |= {code: {"language": code, "value": text} for code, text in names.items()}
    return raw


class _Entities(dict[str, Any]):
    """All items there can be, made when they are asked for."""

    def get(self, key: str, default: Any = None) -> Any:
        return made_up(int(key[1:]))


class _Pages(dict[str, dict[str, str]]):
    """Pages by number: 3 % soft redirects, a fifth without item."""

    def get(self, key: str, default: Any = None) -> Any:
        kind, _, number = key.removeprefix("Category:").rpartition(" ")
        n = int(number)
        if kind == "Place" and n % 33 == 5:
            return {"text": f"{{{{Category redirect|Renamed {n}}}}}"}
        return {} if n % 5 == 3 else {"item": f"Q{n}"}


def titles(number: int) -> dict[str, Any]:
    """Resolves `number` made-up categories."""
    world = World(_Pages(), _Entities())
    numbers = range(5001, 5001 + number)
    with MediaWiki(world).running() as wiki, tempfile.TemporaryDirectory() as folder:
        measured = _apart("client", folder, wiki.commons, wiki.wikidata, str(number))
        again = _apart("client", folder, wiki.commons, wiki.wikidata, str(number))
        classes = [keys for keys in wiki.batches("wbgetentities") if int(keys[0][1:]) <= 5000]
        store = (Path(folder) / "store.sqlite").stat().st_size
    soft = sum(n % 33 == 5 for n in numbers)
    items = sum(n % 5 != 3 for n in numbers)
    floor = math.ceil(number / 50) + math.ceil(items / 50) + len(classes) + math.ceil(soft / 50)
    assert not wiki.violations, wiki.violations[:5]
    return {
        "titles": number,
        **measured,
        "floor": floor,
        "store_mb": round(store / 2**20, 1),
        "second_run": again,
    }


def client(folder: str, commons: str, wikidata: str, number: str) -> dict[str, Any]:
    """The measured part of `titles`."""
    apis = Apis(commons, wikidata)
    wanted = [f"Place {n}" for n in range(5001, 5001 + int(number))]
    with (
        ResponseStore(Path(folder) / "store.sqlite") as store,
        Client("benchmark@institute.example", apis) as client,
    ):
        resolved = resolve_titles(wanted, store, apis, client)
        count = write_snapshot(Path(folder) / "entities.jsonl.gz", resolved.entities())
        return {
            "requests": client.requests,
            "by_status": resolved.counts(),
            "entities": count,
            "missing": len(resolved.missing_titles) + len(resolved.missing_ids),
        }


def dump(number: int, form: str) -> dict[str, Any]:
    """Takes a part out of a made-up dump of `number` entities."""

    lines = {"json": json_dump, "nt": truthy_triples}[form]
    # Rendered once for a number and a class that stand nowhere else, then filled in.
    pattern = made_up(987654321)
    pattern["claims"]["P31"] = item("Q1", P31=["Q87654320"])["claims"]["P31"]
    line = list(lines([pattern]))

    def filled(first: int) -> Iterator[str]:
        text = "".join(line[1:-1] if form == "json" else line)
        for n in range(first, number + 1):
            one = text.replace("987654321", str(n)).replace("87654320", str(n % CLASSES + 1))
            yield f",\n{one}" if form == "json" else one

    def whole() -> Iterator[str]:
        classes = lines(made_up(n) for n in range(1, CLASSES + 1))
        yield from list(classes)[: -1 if form == "json" else None]
        yield from filled(CLASSES + 1)
        if form == "json":
            yield "\n]\n"

    with tempfile.TemporaryDirectory() as folder:
        path = write_dump(Path(folder) / f"dump.{form}.gz", whole())
        return {
            "dump_entities": number,
            "form": form,
            "dump_gz_mb": round(path.stat().st_size / 2**20, 1),
            **_apart("extraction", str(path), str(number)),
        }


def extraction(path: str, number: str) -> dict[str, Any]:
    """The measured part of `dump`."""
    wanted = [f"Place {n}" for n in range(5001, int(number) + 1, 50)]
    out = Path(path).with_name("out.jsonl.gz")
    return {"entities": write_snapshot(out, DumpExtraction([Path(path)], wanted).run())}


def closure(shared: str) -> dict[str, Any]:
    """All classes above each recorded class, by our class graph; reading the files apart."""
    wikidata = Path(shared) / "wikidata"
    edges = pd.read_csv(wikidata / "derived.P279.tsv.gz", sep="\t", dtype=str)
    star = pd.read_csv(wikidata / "derived.P279star.tsv.gz", sep="\t", dtype=str)
    parents = edges.groupby("node1")["node2"].agg(list)
    frame = pd.DataFrame({"qid": parents.index, "parent_qids": parents.to_list()})
    begun = time.monotonic()
    graph = ClassGraph(frame, {}, {})
    rows = {(qid, above) for qid in graph.graph for above in {qid, *graph.ancestors(qid)}}
    seconds = time.monotonic() - begun
    recorded = set(zip(star["node1"], star["node2"], strict=True))
    more = rows - recorded
    roots = set(edges["node2"]) - set(edges["node1"])
    return {
        "edges": len(edges),
        "rows": len(rows),
        "recorded_rows": len(recorded),
        "only_recorded": len(recorded - rows),
        "only_ours": len(more),
        "of_them_a_class_without_parents_as_its_own_ancestor": sum(
            a == b and a in roots for a, b in more
        ),
        "seconds": round(seconds, 1),
    }


def _apart(name: str, *arguments: str) -> dict[str, Any]:
    """Runs a part in a process of its own and adds what it cost."""
    command = [sys.executable, __file__, "part", name, *arguments]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(run.stdout)


def _part(name: str, *arguments: str) -> None:
    begun = time.monotonic()
    parts: dict[str, Callable[..., dict[str, Any]]] = {"client": client, "extraction": extraction}
    result = parts[name](*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    result |= {
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }
    print(json.dumps(result))


def main() -> None:
    if sys.argv[1:2] == ["part"]:
        return _part(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["titles", "dump", "closure"])
    parser.add_argument("--number", type=int)
    parser.add_argument("--form", choices=["json", "nt"], default="json")
    parser.add_argument("--shared", help="folder of the real data, for closure")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.what == "titles":
        result = titles(asked.number or 300_000)
    elif asked.what == "closure":
        result = closure(asked.shared or parser.error("closure needs --shared DIR"))
    else:
        result = dump(asked.number or 1_000_000, asked.form)
    print(json.dumps(result, indent=2))
    if asked.json:
        write_json(asked.json, result)
    return None


if __name__ == "__main__":
    main()
