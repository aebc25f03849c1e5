"""What people look at: the tree as one HTML page and a picture, the data card, the summary."""

from pipeline.show.card import render_card
from pipeline.show.numbers import agreement, numbers_of
from pipeline.show.page import render_page
from pipeline.show.picture import draw_tree
from pipeline.show.summary import summary_lines

__all__ = [
    "agreement",
    "draw_tree",
    "numbers_of",
    "render_card",
    "render_page",
    "summary_lines",
]
