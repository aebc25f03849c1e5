"""What people look at: the tree as one HTML page and a picture, the data card, the summary."""

from strata_labels.show.card import render_card
from strata_labels.show.numbers import (
    image_issue_numbers,
    label_issue_numbers,
    numbers_of,
    published_agreement,
)
from strata_labels.show.page import render_page
from strata_labels.show.picture import draw_tree
from strata_labels.show.summary import summary_lines

__all__ = [
    "draw_tree",
    "image_issue_numbers",
    "label_issue_numbers",
    "numbers_of",
    "published_agreement",
    "render_card",
    "render_page",
    "summary_lines",
]
