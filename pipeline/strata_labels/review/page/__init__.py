"""The review page: a server, one HTML document, one key per decision."""

from strata_labels.review.page.desk import Desk
from strata_labels.review.page.review import BATCH, Review
from strata_labels.review.page.review_rows import ReviewSetup
from strata_labels.review.page.serve import open_page, open_team
from strata_labels.review.page.team import Team

__all__ = ["BATCH", "Desk", "Review", "ReviewSetup", "Team", "open_page", "open_team"]
