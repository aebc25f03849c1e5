"""What people look at: the tree as one HTML page and a picture, the data card, the summary."""

from strata_labels.show.card import render_card
from strata_labels.show.numbers import agreement, numbers_of
from strata_labels.show.page import render_page
from strata_labels.show.picture import draw_tree
from strata_labels.show.summary import summary_lines

__all__ = [
    "agreement",
    "draw_tree",
    "numbers_of",
    "render_card",
    "render_page",
    "summary_lines",
]
