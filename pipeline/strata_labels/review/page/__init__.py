"""The review page: a local server, one HTML file, one decision a key."""

from strata_labels.review.page.desk import Desk, Refused, Stale
from strata_labels.review.page.material import Material
from strata_labels.review.page.serve import Served, open_page

__all__ = ["Desk", "Material", "Refused", "Served", "Stale", "open_page"]
