"""A small synthetic set of products in SOP's layout: drawn, not photographed, with a planted level.

For demonstrations and tests that must not depend on photographs. A super-class is a silhouette, a
planted kind inside it a surface, a product a choice of colours and proportions, a view a turn,
scale, shade and background of its own. The planted kinds are written to `planted.csv`, which no
build reads.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strata_labels.files import write_text

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

PLANTED = "planted.csv"
SIDE = 112  # of a picture, in pixels
VIEWS = (4, 5)

_CANVAS = 224  # drawn larger and reduced, so that edges are smooth

# Silhouettes in a unit square, polygons as x, y pairs; ellipses `("o", left, top, right, low)`.
_Shape = tuple[str | float, ...]
SILHOUETTES: dict[str, list[_Shape]] = {
    "bottle": [(.42, .05, .58, .05, .58, .28, .7, .4, .7, .95, .3, .95, .3, .4, .42, .28)],
    "mug": [("o", .55, .3, .92, .72), (.15, .18, .7, .18, .66, .85, .19, .85)],
    "lamp": [(.3, .08, .7, .08, .88, .5, .12, .5), (.46, .5, .54, .5, .54, .85, .46, .85),
             ("o", .25, .8, .75, .95)],
    "chair": [(.2, .05, .75, .05, .75, .5, .2, .5), (.15, .5, .85, .5, .85, .65, .15, .65),
              (.17, .65, .26, .65, .24, .97, .17, .97), (.74, .65, .83, .65, .83, .97, .76, .97)],
    "table": [(.03, .25, .97, .25, .97, .45, .03, .45), (.08, .45, .2, .45, .2, .9, .1, .9),
              (.8, .45, .92, .45, .9, .9, .8, .9)],
    "figurine": [("o", .3, .02, .7, .42), ("o", .05, .3, .48, .7), ("o", .52, .3, .95, .7),
            (.45, .4, .55, .4, .6, .97, .4, .97)],
    "kettle": [("o", .12, .3, .8, .95), (.7, .5, .98, .25, .98, .4, .75, .7),
               (.25, .1, .65, .1, .65, .3, .57, .3, .57, .18, .33, .18, .33, .3, .25, .3)],
    "cabinet": [(.2, .04, .8, .04, .8, .92, .2, .92), (.22, .92, .3, .92, .3, .98, .22, .98),
                (.7, .92, .78, .92, .78, .98, .7, .98)],
    "vase": [(.35, .04, .65, .04, .56, .25, .85, .55, .65, .96, .35, .96, .15, .55, .44, .25)],
    "sofa": [(.12, .25, .88, .25, .88, .6, .12, .6), (.02, .42, .18, .42, .18, .82, .02, .82),
             (.82, .42, .98, .42, .98, .82, .82, .82), (.1, .58, .9, .58, .9, .82, .1, .82)],
    "hat": [("o", .22, .12, .78, .85), (.02, .62, .98, .62, .9, .8, .1, .8)],
    "bell": [(.45, .03, .55, .03, .6, .2, .78, .7, .92, .82, .08, .82, .22, .7, .4, .2),
             ("o", .4, .78, .6, .97)],
}  # fmt: skip

#: Surfaces; each super-class has a few of them as its planted kinds.
SURFACES = ("striped", "dotted", "plain", "checked", "ringed", "woven")


def draw_products(
    folder: Path, supers: int = 12, kinds: int = 3, products: int = 4, seed: int = 0
) -> Path:
    """Draws a synthetic product set in a few seconds; the same arguments give the same bytes.

    Every product has four or five views. Half of each kind's products are in the train list, the
    others in the test list, as in the real set no product is in both.

    Args:
        folder: where `Ebay_train.txt`, `Ebay_test.txt`, `<super-class>_final/*.JPG` and
            `planted.csv` (`class_id, split, super_class, kind`: what is to be recovered) go.
        supers: super-classes, at most 12.
        kinds: planted kinds in each super-class, at most 6.
        products: products of each kind, at least 2.
        seed: another seed, other colours, proportions and views.

    Returns:
        The folder.

    Raises:
        ValueError: a number out of its range.
    """
    if not 1 <= supers <= len(SILHOUETTES) or not 1 <= kinds <= len(SURFACES) or products < 2:
        raise ValueError(f"cannot draw {supers} super-classes of {kinds} kinds of {products}")
    made = []
    for number, name in enumerate(list(SILHOUETTES)[:supers]):
        for kind in range(kinds):
            # Not the same kinds in every super-class.
            surface = SURFACES[(kind + number) % len(SURFACES)]
            for product in range(products):
                split = "train" if product < products // 2 else "test"
                made.append((split != "train", number, name, surface, product, split))
    lists = {split: ["image_id class_id super_class_id path"] for split in ("train", "test")}
    planted = [("class_id", "split", "super_class", "kind")]
    image_id = 0
    for class_id, (_, number, name, surface, product, split) in enumerate(sorted(made), start=1):
        planted.append((str(class_id), split, name, surface))
        random = np.random.default_rng([seed, number, SURFACES.index(surface), product])
        body = _body(SILHOUETTES[name], surface, random)
        for view in range(int(random.integers(VIEWS[0], VIEWS[1] + 1))):
            path = f"{name}_final/{111_000_000_000 + class_id}_{view}.JPG"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            _view(body, random).save(folder / path, "JPEG", quality=90)
            image_id += 1
            lists[split].append(f"{image_id} {class_id} {number + 1} {path}")
    for split, lines in lists.items():
        write_text(folder / f"Ebay_{split}.txt", "\n".join(lines) + "\n")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(planted)
    write_text(folder / PLANTED, table.getvalue())
    return folder


def _body(shapes: Sequence[_Shape], surface: str, random: np.random.Generator) -> Image.Image:
    """The product itself, on a transparent canvas."""
    from PIL import Image, ImageDraw, ImageFilter

    ground, mark = _colours(random)
    skin = Image.new("RGB", (_CANVAS, _CANVAS), ground)
    _paint(ImageDraw.Draw(skin), surface, mark, random)
    mask = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(mask)
    wide, tall = random.uniform(0.82, 1.0, 2)
    for shape in shapes:
        points = [float(value) for value in shape if not isinstance(value, str)]
        xy = [
            _CANVAS * (0.5 + (value - 0.5) * (tall if n % 2 else wide))
            for n, value in enumerate(points)
        ]
        (pen.ellipse if shape[0] == "o" else pen.polygon)(xy, fill=255)
    body = Image.new("RGBA", (_CANVAS, _CANVAS))
    body.paste(skin, mask=mask)
    # A dark outline, so that the silhouette is seen on any background.
    inner = mask.filter(ImageFilter.MinFilter(7))
    rim = Image.composite(Image.new("L", mask.size), mask, inner)
    body.paste(Image.new("RGB", mask.size, tuple(value // 3 for value in ground)), mask=rim)
    return body


def _colours(random: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ground and mark: any hue, the mark much darker or lighter than the ground."""
    import colorsys

    hue, dark = random.random(), random.random() < 0.5
    values = (0.45, 0.95) if dark else (0.9, 0.35)
    colours = [
        colorsys.hsv_to_rgb(hue, 0.65, values[0]),
        colorsys.hsv_to_rgb((hue + random.uniform(-0.1, 0.1)) % 1, 0.3, values[1]),
    ]
    ground, mark = (tuple(round(255 * part) for part in colour) for colour in colours)
    return ground, mark


def _paint(
    pen: ImageDraw.ImageDraw, surface: str, mark: tuple[int, ...], random: np.random.Generator
) -> None:
    step = int(random.integers(24, 31))
    start = int(random.integers(0, step))
    places = range(start - step, _CANVAS + step, step)
    if surface in ("striped", "checked", "woven"):
        for y in places:
            pen.rectangle((0, y, _CANVAS, y + step // 2), fill=mark)
    if surface == "checked":
        for x in places:
            for y in places:
                if (x + y) // step % 2:
                    pen.rectangle((x, y, x + step, y + step), fill=mark)
    if surface == "woven":
        for x in places:
            pen.line((x, 0, x - _CANVAS, _CANVAS), fill=mark, width=step // 4)
            pen.line((x + _CANVAS, 0, x, _CANVAS), fill=mark, width=step // 4)
    if surface == "dotted":
        for row, y in enumerate(places):
            for x in places:
                left = x + (step // 2 if row % 2 else 0)
                pen.ellipse((left, y, left + step * 0.55, y + step * 0.55), fill=mark)
    if surface == "ringed":
        for radius in range(start, _CANVAS, step):
            low, high = _CANVAS / 2 - radius, _CANVAS / 2 + radius
            pen.ellipse((low, low, high, high), outline=mark, width=step // 3)


def _view(body: Image.Image, random: np.random.Generator) -> Image.Image:
    """One picture of the product: turned, scaled, lit, in front of something."""
    from PIL import Image, ImageEnhance

    top, low = random.integers(150, 250, (2, 3))
    slope = np.linspace(top, low, _CANVAS).astype(np.uint8)
    picture = Image.fromarray(np.repeat(slope[:, None, :], _CANVAS, axis=1))
    size = int(_CANVAS * random.uniform(0.75, 1.0))
    turned = body.rotate(random.uniform(-20, 20), Image.Resampling.BICUBIC).resize((size, size))
    lit = ImageEnhance.Brightness(turned.convert("RGB")).enhance(random.uniform(0.75, 1.2))
    left, upper = (int(random.integers(0, _CANVAS - size + 1)) for _ in range(2))
    picture.paste(lit, (left, upper), turned.getchannel("A"))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
