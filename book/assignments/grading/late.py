"""A policy for late submissions."""

from nbgrader.plugins import BasePlugin
from traitlets import Float

DAY = 24 * 60 * 60


class PerDay(BasePlugin):
    """A share of the points off for every day late that has begun."""

    share = Float(0.1, help="of the points reached, for each day").tag(config=True)

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float:
        """The points to take off: at most all of them."""
        days = -(-total_seconds_late // DAY)
        return score * min(1.0, self.share * days)
