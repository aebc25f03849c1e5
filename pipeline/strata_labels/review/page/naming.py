"""Rows and nodes of a review in words, and the pictures that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strata_labels.review.page.review_rows import ReviewRows


def level_name(table: ReviewRows, level: int) -> str:
    """A level in words."""
    return table.setup.levels[level].replace("_", " ")


def name_of(table: ReviewRows, n: int) -> str:
    """A row's subject in words."""
    subject = table.subject[n]
    if not table.is_item[n]:
        lost = table.resolution.lost.get(subject)
        return lost.name if lost else str(table.known.name.get(subject, subject))
    at = table.item_at.get(subject)
    return table.item_cells["name"][at] if at is not None else subject


def path_of(table: ReviewRows, node: str) -> list[dict[str, str]]:
    """The nodes from one up to the top."""
    known = table.known
    return [
        {"node": step, "name": known.name[step], "level": level_name(table, known.level[step])}
        for step in known.path(node)
    ]


def describe(table: ReviewRows, node: str) -> dict[str, Any]:
    """A node, its path and its size, as search lists it."""
    return {
        "node": node,
        "name": table.known.name[node],
        "level": level_name(table, table.known.level[node]),
        "path": path_of(table, node),
        "size": table.sizes.get(node, 0),
    }


def first_picture(table: ReviewRows, n: int) -> dict[str, str] | None:
    """The picture that stands for a row's item, None where it has none."""
    images = table.images_of(table.subject[n])
    return picture(table, n, images[0], name_of(table, n)) if images else None


def picture(table: ReviewRows, n: int, image: str, text: str) -> dict[str, str]:
    """An image of a row's item, with the text that is read out for it."""
    online = table.setup.online_image(image)
    return {"item": table.subject[n], "image": image, "online": online, "alt": text}
