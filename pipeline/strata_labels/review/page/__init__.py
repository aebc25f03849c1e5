"""The review page: a local server, one HTML document, one key per decision."""

from strata_labels.review.page.desk import Desk
from strata_labels.review.page.review import BATCH
from strata_labels.review.page.review_rows import ReviewSetup
from strata_labels.review.page.serve import open_page

__all__ = ["BATCH", "Desk", "ReviewSetup", "open_page"]
