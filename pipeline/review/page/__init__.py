"""The review page: a local server, one HTML file, one decision a key."""

from pipeline.review.page.desk import Desk, Refused, Stale
from pipeline.review.page.material import Material
from pipeline.review.page.serve import Served, open_page

__all__ = ["Desk", "Material", "Refused", "Served", "Stale", "open_page"]
