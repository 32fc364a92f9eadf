"""When something was handed in, and a policy for late submissions."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from nbgrader.plugins import BasePlugin
from traitlets import Float

DAY = 24 * 60 * 60
FORMS = (
    "`2027-02-01 23:59 +01:00`, with `Z`, `UTC` or a name as `Europe/Berlin` in the place of "
    "`+01:00`; without any of them it is UTC"
)
WRITTEN = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<hour>\d\d?):?(?P<minute>\d\d)"
    r"(:?(?P<second>\d\d)([.,]\d+)?)?( ?(?P<half>[AaPp])\.?[Mm]\.?)?( ?(?P<zone>\S+))?"
)
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")


def when(text: str) -> datetime:
    """The time that a text says, in UTC and without a zone, as nbgrader's gradebook has times.

    Raises ValueError if it is not of one of the forms, or its zone is not known: letters as CST
    stand for several. The year has to be one that a computer's clock shows.
    """
    found = WRITTEN.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError(text)
    hour, half = int(found["hour"]), (found["half"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + (12 if half == "p" else 0)
    time = datetime.fromisoformat(found["date"]).replace(
        hour=hour, minute=int(found["minute"]), second=int(found["second"] or 0)
    )
    if not 1970 <= time.year < 2200:
        raise ValueError(text)
    return time.replace(tzinfo=zone(found["zone"] or "UTC")).astimezone(UTC).replace(tzinfo=None)


def zone(name: str) -> tzinfo:
    """A zone by its offset or its name."""
    if name.upper() in ("Z", "UTC", "GMT"):
        return UTC
    if offset := OFFSET.fullmatch(name):
        sign, hours, minutes = offset.groups(default="0")
        shift = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-shift if sign == "-" else shift)
    if "/" not in name:
        raise ValueError(name)
    try:
        return ZoneInfo(name)
    except (LookupError, OSError):
        raise ValueError(name) from None


class PerDay(BasePlugin):
    """A share of the points off for every day late that has begun."""

    share = Float(0.1, help="of the points reached, for each day").tag(config=True)

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float:
        """The points to take off: at most all of them."""
        days = -(-total_seconds_late // DAY)
        return score * min(1.0, self.share * days)
