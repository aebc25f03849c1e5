"""The tree page in a real browser: list, icicle, search, filter, links, pictures, odd trees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_world import LEVELS, VOCABULARY, decisions, item, items, proposals
from strata_labels.review import replay
from strata_labels.show import render_page
from strata_labels.show.example_pictures import example_pictures
from strata_labels.show.page_data import fit_nodes, pack
from strata_labels.show.page_layout import DOUBTED, OPEN, lay_out
from strata_labels.tree import tree_tables

ODD_NAMES = (
    "a|b <b>bold</b> `code` $x_{$\nnew *line* [x](y)",
    "</script><script>document.title = 'x'</script>",
    "<!--<script>",
    "\"quoted\" 'name' & more",
    "👩‍🚀🚀",
    "👩‍🚀🚀 again",
    "كنيسة القيامة",
    "\u202eright to left",
    "",
    "   ",
    "{{ 1 + 1 }} ${now}",
)

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
Show = Callable[..., Any]


def built(*rows: tuple, vocabulary: pd.DataFrame = VOCABULARY) -> Tables:
    """Items, nodes and assignments of the small world after these decisions."""
    resolution = replay(decisions(*rows), proposals(), vocabulary)
    return items(), *tree_tables(items(), resolution.rows, resolution.tree)[:2]


def made(paths: list[tuple[str, ...]], names: list[str] | None = None) -> Tables:
    """Accepted items, one for each path of nodes (finest first; no nodes: no label)."""
    count, depth = len(paths), max((len(path) for path in paths), default=1)
    ids = [f"t/{n}" for n in range(count)]
    things = pd.DataFrame({"item_id": ids, "name": names or [f"Item {n}" for n in range(count)]})
    things["source_url"], things["image_ids"] = None, pd.Series([[]] * count, dtype=object)
    table = things[["item_id", "name"]].assign(split="train", origin="published", confidence=1.0)
    table["status"] = ["labelled" if path else "no_evidence" for path in paths]
    table["accepted"] = [bool(path) for path in paths]
    nodes: dict[str, tuple[str, int, str, str | None, None]] = {}
    for level in range(1, depth + 1):
        own = ["/".join([str(level), *path[level - 1 :]]) if path else None for path in paths]
        table[f"level{level}_id"] = pd.Series(own, dtype=object)
        table[f"level{level}_name"] = [path[level - 1] if path else None for path in paths]
        for node, path in zip(own, paths, strict=True):
            if node:
                above = "/".join([str(level + 1), *path[level:]]) if level < depth else None
                nodes[node] = (node, level, path[level - 1], above, None)
    columns = ["node_id", "level", "name", "parent_id", "qid"]
    return things, pd.DataFrame(nodes.values(), columns=columns), table


def level_names(tables: Tables) -> tuple[str, ...]:
    return ("item", *(f"level {n}" for n in range(1, sum("_id" in c for c in tables[2]))))


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Any:
    """Writes a page and opens it as a file; fails if it logs an error or asks the network."""
    opened = []

    def open_(tables: Tables, fragment: str = "", viewport: Any = None, **more: Any) -> Any:
        path = tmp_path / "tree.html"
        levels = more.pop("levels", None) or level_names(tables)
        render_page(path, *tables, levels, more.pop("title", "T"), **more)
        page = browser.new_page(viewport=viewport or {"width": 1280, "height": 900})
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.wrong.append(said.text))
        page.on(
            "request",
            lambda asked: asked.url.startswith(("file:", "blob:")) or page.wrong.append(asked.url),
        )
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector("html[data-ready]")
        opened.append(page)
        return page

    yield open_
    for page in opened:
        assert page.wrong == []
        page.close()


def row_texts(page: Any) -> list[str]:
    texts = page.locator("#rows li").all_text_contents()
    return [" ".join(text.split()) for text in texts]


def chosen(page: Any) -> tuple[str, str, str]:
    """The node that list, icicle and panel show as chosen."""
    return (
        page.locator("#rows [aria-selected=true] .name").text_content(),
        page.locator("#icicle [aria-current]").get_attribute("title").split(":")[0],
        page.locator("#panel h2 bdi").text_content(),
    )


def test_what_people_wrote_of_a_node_stands_below_its_name(show: Show) -> None:
    text = "spires <b>& towers</b>"
    things, nodes, assignments = built((item(2), 1, "stop", "church"))
    nodes.loc[nodes.node_id == "2/church", "description"] = text
    page = show((things, nodes, assignments), levels=tuple(LEVELS))
    page.get_by_role("button", name="Unfold all").click()
    page.locator("#rows li", has_text="church").first.click()
    assert text in page.locator("#panel p").all_text_contents()
    page.locator("#rows li", has_text="human-made").first.click()
    assert text not in page.locator("#panel").inner_text()


def test_the_page_counts_items_at_their_node(show: Show) -> None:
    tables = built((item(2), 1, "stop", "church"), (item(3), 1, "stop", "natural"))
    page = show(tables, levels=tuple(LEVELS))
    text = " ".join(page.locator("body").inner_text().split())
    assert "8 items, 6 with a label: 2 accepted automatically, 2 decided by people, 2 open" in text
    assert "hierarchical label: 1" in text and "natural or human made: 1" in text
    assert "no evidence: 1" in text and "no place: 1" in text
    assert (
        "8 items: 2 accepted automatically, 2 decided by people, 3 open for review, 1 with" in text
    )
    page.get_by_role("button", name="Unfold all").click()
    assert {"natural3", "human-made3", "church2", "no evidence1"} <= set(row_texts(page))
    page.locator("#rows li", has_text="church").first.click()
    panel = " ".join(page.locator("#panel").inner_text().split())
    assert "2 items: 1 accepted automatically, 1 decided by people" in panel
    assert "Without a finer label: 1" in panel and "Landmark 2 decided by people" in panel
    assert page.get_by_role("link", name="Q16970 on Wikidata").count() == 1


def test_bars_have_one_scale(show: Show) -> None:
    page = show(made([("a", "x")] * 8 + [("b", "x")] * 4 + [("c", "y")] * 4))
    page.get_by_role("button", name="Unfold all").click()
    widths = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#rows li')].map("
        "row => [row.querySelector('.name').textContent, row.querySelector('.bar i').style.width]))"
    )
    assert widths == {"x": "100%", "a": "66.67%", "b": "33.33%", "y": "33.33%", "c": "33.33%"}
    assert page.locator("#scale").text_content() == "12 items"


def test_list_and_icicle_have_one_selection(show: Show) -> None:
    page = show(made([("a", "x")] * 6 + [("b", "x")] * 4 + [("c", "y")] * 5))
    page.locator("#icicle button", has_text="b").click()
    assert chosen(page) == ("b", "b", "b")
    page.locator("#rows li", has_text="y").click()
    assert chosen(page) == ("y", "y", "y")
    page.locator("#rows").focus()
    page.keyboard.press("ArrowUp")
    assert chosen(page) == ("b", "b", "b")
    page.keyboard.press("ArrowLeft")
    assert chosen(page) == ("x", "x", "x")
    # A box is opened with Enter; arrows go from box to box.
    page.locator("#icicle [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert chosen(page) == ("b", "b", "b")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert page.locator("#panel h2").inner_text().strip() == "All items"
    # Heights are shares of the items.
    heights = page.eval_on_selector_all(
        "#icicle button", "all => Object.fromEntries(all.map(b => [b.title[0], b.offsetHeight]))"
    )
    assert heights["x"] == pytest.approx(2 * heights["y"], abs=2)


def test_search_finds_every_item_and_its_id(show: Show) -> None:
    names = [f"Café Nº {n}" for n in range(3000)]
    page = show(made([(f"n{n % 7}", "x") for n in range(3000)], names))
    page.fill("#find", "CAFE 2999")
    assert page.locator("#said").inner_text() == "0 nodes and 1 item found"
    page.locator("#results button").click()
    assert page.locator("#item h3").inner_text() == "Café Nº 2999"
    page.fill("#find", "t/17")
    assert page.locator("#results button").first.inner_text().startswith("Café Nº 17")
    page.fill("#find", "n3")
    assert page.locator("#said").inner_text().startswith("1 node and 0 items")
    page.fill("#find", "café")
    assert "3,000 items found; the first 100" in page.locator("#said").inner_text()
    page.fill("#find", "")
    assert page.locator("#tree").is_visible() and page.locator("#results").is_hidden()


def issue(number: int, given: str) -> pd.DataFrame:
    return pd.DataFrame(
        [(item(number), 1, given, "1/Q2977", 0.1, 0.9, True)],
        columns=["item_id", "level", "given", "suggestion", "score", "wrong", "opened"],
    )


def test_open_and_doubted_items_are_filtered(show: Show) -> None:
    page = show(built(), levels=tuple(LEVELS), label_issues=issue(5, "1/Q23413"))
    assert page.locator("#filter option").all_text_contents() == [
        "All items (8)", "Open for review (5)", "Given label in doubt (1)"
    ]  # fmt: skip
    page.select_option("#filter", "open")
    page.get_by_role("button", name="Unfold all").click()
    assert {"church2", "natural1", "no evidence1"} <= set(row_texts(page))
    assert page.locator("#panel .items li").count() == 5
    page.select_option("#filter", "doubted")
    assert set(row_texts(page)) == {"natural1", "mountain1"}
    assert "given label in doubt: castle" in page.locator("#panel .items").inner_text()
    page.select_option("#filter", "all")
    page.get_by_role("button", name="Unfold all").click()
    assert any("castle1 given label in doubt1" in text for text in row_texts(page))


def test_an_address_keeps_what_is_shown(show: Show) -> None:
    tables = built((item(4), 1, "keep", ""))
    page = show(tables, levels=tuple(LEVELS))
    page.select_option("#filter", "open")
    page.fill("#find", "landmark 2")
    page.locator("#results button").click()
    address = page.evaluate("location.hash")
    assert "filter=open" in address and quote(item(2), safe="") in address
    again = show(tables, address, levels=tuple(LEVELS))
    assert again.locator("#item h3").inner_text() == "Landmark 2"
    assert again.input_value("#filter") == "open" and again.input_value("#find") == "landmark 2"
    again.evaluate("location.hash = '#node=2/mountain'")
    again.wait_for_function("document.querySelector('#panel h2').textContent.includes('mountain')")
    assert again.input_value("#filter") == "all" and again.locator("#item").count() == 0
    # What is not there is left out.
    lost = show(tables, "#node=2/nowhere&item=x&filter=y", levels=tuple(LEVELS))
    assert lost.locator("#panel h2").inner_text().strip() == "All items"
    by_item = show(tables, f"#item={quote(item(5))}", levels=tuple(LEVELS))
    assert chosen(by_item)[0] == "mountain"


def test_names_on_the_page_are_text(show: Show) -> None:
    things, nodes, table = made([(f"n{n}", "x") for n in range(len(ODD_NAMES))], list(ODD_NAMES))
    nodes["name"] = nodes["name"].replace({f"n{n}": name for n, name in enumerate(ODD_NAMES)})
    things.loc[0, "source_url"] = "javascript:alert(1)"
    things.loc[3, "source_url"] = 'https://example.org/"quoted"'
    page = show((things, nodes, table), title=ODD_NAMES[0], levels=("item", "<i>x</i>", "</style>"))
    page.get_by_role("button", name="Unfold all").click()
    assert page.title() == " ".join(ODD_NAMES[0].split())
    assert page.locator("main b, main code, main img").count() == 1  # the scale
    texts = " ".join(page.locator("#panel .items").all_inner_texts())
    for name in ODD_NAMES:
        if name.strip():
            assert " ".join(name.split()) in " ".join(texts.split())
            assert page.evaluate("nodes.name").count(" ".join(name.split())) == 1
    assert "t/8" in texts and "t/9" in texts  # without a name, the id
    links = page.eval_on_selector_all("a", "all => all.map(a => a.getAttribute('href'))")
    assert links == ['https://example.org/"quoted"']


def test_what_the_page_unpacks_is_what_was_packed(show: Show) -> None:
    random = np.random.default_rng(0)
    signs = list("abAB é寺🚀_/-0019 ")
    names = ["".join(random.choice(signs, random.integers(1, 40))) for _ in range(400)]
    ids = [
        f"{random.choice(['s/train', 's/test/0', 'ü'])}/{random.integers(0, 10 ** int(d))}"
        for d in random.integers(1, 12, 397)
    ]
    ids = list(dict.fromkeys([*ids, "x", "00", "a/0"]))
    things, nodes, table = made([(f"n{n % 13}", f"m{n % 3}") for n in range(len(ids))])
    things["item_id"] = table["item_id"] = ids
    things["name"] = table["name"] = names[: len(ids)]
    address = ["http://e.org/wiki/" + n.replace(" ", "_") + "_(x)" * (len(n) % 2) for n in names]
    things["source_url"] = [a if n % 5 else f"http://f.org/{n}" for n, a in enumerate(address)][
        : len(ids)
    ]
    page = show((things, nodes, table))
    found = page.evaluate(
        "items.id.map((id, n) => [id, items.name[n], addressOf(n), nodes.name[nodeOf(n)]])"
    )
    want = things.assign(node=table["level1_name"].to_numpy())
    rows = want[["item_id", "name", "source_url", "node"]].to_numpy().tolist()
    expected = [[a, " ".join(b.split()) or a, " ".join(c.split()), d] for a, b, c, d in rows]
    assert sorted(found) == sorted(expected)


def test_many_kinds_of_ids_are_kept_as_text(show: Show) -> None:
    things, nodes, table = made([("n", "x")] * 700)
    ids = [f"{n * 7919 % 1000:03d}-{chr(97 + n % 26)}{n:x}" for n in range(700)]
    things["item_id"] = table["item_id"] = ids
    page = show((things, nodes, table), f"#item={ids[123]}")
    assert sorted(page.evaluate("items.id")) == sorted(ids)
    assert page.locator("#item h3").inner_text() == "Item 123"


def test_what_does_not_fit_is_said_and_open_items_stay() -> None:
    random = np.random.default_rng(0)
    names = ["".join(random.choice(list("abcdefgh"), 30)) for _ in range(2000)]
    things, nodes, table = made([(f"n{n % 5}", "x") for n in range(2000)], names)
    things["source_url"] = [f"http://e.org/{n * 7919 % 104729:05d}" for n in range(2000)]
    table["accepted"] = [n % 10 > 0 for n in range(2000)]
    layout = lay_out(things, nodes, table, 3)
    whole = pack(layout, {}, 10**9)
    assert whole.left_out == () and len(whole.items) == 2000
    shorter = pack(layout, {}, len(whole.text) - 10)
    assert shorter.left_out == ("addresses of some items",)
    small = pack(layout, {}, len(whole.text) // 3)
    assert len(small.text) <= len(whole.text) // 3
    assert small.left_out[-1] == f"{2000 - len(small.items):,} of 2,000 items"
    state = layout.items["state"]
    assert (state[small.items] & (OPEN | DOUBTED) > 0).sum() == 200 < len(small.items)


def test_of_too_many_nodes_the_finest_are_left_out() -> None:
    paths = [(f"a{n}", f"b{n // 2}", f"c{n // 500}") for n in range(2000)]
    layout = lay_out(*made(paths), 4)
    whole = len(pack(layout, {}, 10**9).text)
    assert fit_nodes(layout, whole)[1] == 0
    smaller, levels = fit_nodes(layout, whole // 3)
    assert levels == 1 and len(smaller.nodes) == 1 + 1000 + 4
    names = smaller.nodes["name"].to_numpy()[smaller.items["node"]]
    number = smaller.items["name"].str.removeprefix("Item ").astype(int)
    assert (names == [f"b{n // 2}" for n in number]).all()
    assert smaller.nodes["direct"].sum() == 2000 and smaller.nodes["total"][0] == 2000
    assert len(fit_nodes(layout, 0)[0].nodes) == 5  # the top nodes stay


def test_pictures_are_in_the_page_and_bounded(show: Show, tmp_path: Path) -> None:
    things, nodes, table = made([(f"n{n % 6}", f"m{n % 2}") for n in range(120)])
    things["image_ids"] = pd.Series([["gone", f"{n}.png"] for n in range(120)], dtype=object)
    random = np.random.default_rng(0)
    for n in range(120):
        noise = random.integers(0, 255, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{n}.png")
    (tmp_path / "7.png").write_bytes(b"damaged")

    def find(image: str) -> Path | None:
        return tmp_path / image if (tmp_path / image).exists() else None

    page = show((things, nodes, table), find_image=find)
    assert page.locator("#panel .picture img").count() == 12
    wide = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert page.locator("#panel .picture img").first.evaluate(wide) == [96, 72]
    for node in range(6):  # four of each node
        page.evaluate(f"choose(nodes.name.indexOf('n{node}'))")
        assert page.locator("#panel .picture").count() == 4
    page.locator("#panel .picture").first.click()
    assert page.locator("#item img").count() == 1
    first = (tmp_path / "tree.html").read_bytes()
    levels = ("item", "level 1", "level 2")
    render_page(tmp_path / "tree.html", things, nodes, table, levels, "T", find_image=find)
    assert (tmp_path / "tree.html").read_bytes() == first


def test_pictures_stay_within_their_bytes(tmp_path: Path) -> None:
    things, nodes, table = made([(f"n{n}",) for n in range(50)])
    things["image_ids"] = pd.Series([["a.png"]] * 50, dtype=object)
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    layout = lay_out(things, nodes, table, 2)
    rows = np.arange(10, 50)
    found = example_pictures(layout, rows, lambda image: tmp_path / image, 10**6)
    assert [row for row, _ in found] == rows.tolist()
    one = len(found[0][1])
    some = example_pictures(layout, rows, lambda image: tmp_path / image, 5 * one)
    assert len(some) == 5 and sum(len(content) for _, content in some) == 5 * one
    assert example_pictures(layout, rows, lambda image: None, 10**6) == []


EIGHT = [tuple(f"{level}{n % (level + 1)}" for level in range(8)) for n in range(60)]


@pytest.mark.parametrize(
    ("paths", "nodes"),
    [
        ([("a",), ("b",), ("a",)], 2),
        (EIGHT, 0),
        ([], 0),
        ([()], 0),
        ([("a", "x"), ()], 2),
        ([(f"n{n}", "x") for n in range(20_000)], 20_001),
    ],
    ids=["one level", "eight levels", "no items", "no labels", "some", "20,000 below one"],
)
def test_trees_of_any_shape(show: Show, paths: list[tuple[str, ...]], nodes: int) -> None:
    page = show(made(paths))
    page.get_by_role("button", name="Unfold all").click()
    if nodes:
        aside = 2 if () in paths else 0
        assert page.evaluate("rows.length") == nodes + aside
    page.locator("#rows").focus()
    page.keyboard.press("End")
    assert page.locator("#rows li").count() < 80
    while page.locator("#icicle button.rest").count() and len(paths) < 1000:
        page.locator("#icicle button.rest").click()
    assert page.locator("#icicle > *").count() < 1000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.fill("#find", "Item 0")
    assert ("0 items" in page.locator("#said").inner_text()) == (not paths)


def test_an_item_above_all_levels(show: Show) -> None:
    things, nodes, table = made([("a",), ("a",)])
    table = table[["item_id", "name", "status", "origin", "confidence", "accepted"]]
    nodes = nodes.iloc[:0]
    page = show((things, nodes, table), levels=("item",))
    assert page.locator("#panel .items li").count() == 2


def test_a_page_shows_what_changed(show: Show) -> None:
    changes = pd.DataFrame(
        [
            ("moved", 1, "1/Q2977", "2/castle", "2/church"),
            ("removed", 2, "2/gone", "3/natural", ""),
            ("added", 0, item(5), "", "1/Q8502"),
        ],
        columns=["change", "level", "node_id", "before", "after"],
    )
    page = show(built(), levels=tuple(LEVELS), changes=changes)
    page.get_by_role("button", name="Unfold all").click()
    marks = page.locator("#rows mark").all_text_contents()
    assert marks == ["moved from 2/castle", "1 item new here"]
    text = page.locator("main").inner_text()
    assert "removed: 2/gone (3/natural)" in text and "landmark: 1 added" in text


def test_codes_behind_names_become_names(show: Show) -> None:
    paths = [("Pinus", "Tracheophyta (TIKSTQ)"), ("Quercus", "Tracheophyta")]
    paths += [("incertae sedis in Tracheophyta (TIKSTQ)", "Tracheophyta (TIKSTQ)")]
    paths += [("Pinus", "Tracheophyta (WJUUVD)")]
    paths += [("Rosa", "Tracheophyta"), ("site (UNESCO)", "B"), ("site", "C")]
    page = show(made([*paths, ("Pinus", "Tracheophyta (TIKSTQ)")]))
    assert set(page.evaluate("nodes.name")) == {
        "All items", "Tracheophyta", "Tracheophyta (Pinus)", "Tracheophyta (Item 3)",
        "Pinus", "Quercus", "Rosa",
        "incertae sedis in Tracheophyta", "site (UNESCO)", "site", "B", "C",
    }  # fmt: skip


def test_no_code_of_real_inaturalist_is_shown(
    show: Show, shared: Path, strata: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "metadata"
    folder.mkdir()
    text = (shared / "inat2018" / "categories_named.json").read_text()
    (folder / "categories.json").write_text(text)
    assert strata("build", "inat-h", tmp_path / "ws", "--metadata", folder).returncode in (0, 3)
    codes = {code for one in json.loads(text) for code in one["obfuscated"].values()}
    tables = [
        pd.read_parquet(tmp_path / "ws" / "tables" / f"{name}.parquet")
        for name in ("items", "nodes", "assignments")
    ]
    page = show((tables[0], tables[1], tables[2]))
    names = page.evaluate("[...nodes.name, ...items.name]")
    assert not [name for name in names if codes & set(name.strip("()").replace("(", "").split())]
    assert len(names) == 1 + (tables[1].level > 0).sum() + len(tables[0])
    siblings = page.evaluate("nodes.name.map((name, n) => `${nodes.parent[n]} ${name}`)")
    assert len(set(siblings)) == len(siblings)


def test_the_tree_page_is_accessible(show: Show, axe: Any, tmp_path: Path) -> None:
    things, nodes, table = built((item(2), 1, "keep", ""), (item(4), 1, "stop", "3/human-made"))
    nodes.loc[nodes.level == 1, "qid"] = "Q1"
    things["image_ids"] = pd.Series([["a.png"]] * len(things), dtype=object)
    Image.new("RGB", (50, 50), "teal").save(tmp_path / "a.png")
    found = {}
    for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light")):
        page = show(
            (things, nodes, table), levels=tuple(LEVELS), label_issues=issue(5, "1/Q23413"),
            viewport={"width": width, "height": 800}, find_image=lambda image: tmp_path / image,
        )  # fmt: skip
        page.emulate_media(color_scheme=scheme)
        page.get_by_role("button", name="Unfold all").click()
        page.locator("#rows li", has_text="church").first.click()
        page.locator("#panel .picture").first.click()
        found[f"{width} {scheme}"] = axe(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.select_option("#filter", "open")
        found[f"{width} {scheme} open"] = axe(page)
        page.fill("#find", "a")
        found[f"{width} {scheme} search"] = axe(page)
    assert {view: some for view, some in found.items() if some} == {}
