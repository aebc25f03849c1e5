"""The review page: a local server, one HTML file, one decision a key."""

from strata_labels.review.page.desk import Desk, Refused, Stale
from strata_labels.review.page.review_rows import ReviewSetup
from strata_labels.review.page.serve import Served, open_page

__all__ = ["Desk", "Refused", "ReviewSetup", "Served", "Stale", "open_page"]
