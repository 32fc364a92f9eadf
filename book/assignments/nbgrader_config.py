"""Settings of nbgrader for this course: run its commands in this folder."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from grading.execute import ExecuteApart  # noqa: E402
from grading.feedback import HideTests  # noqa: E402
from grading.late import PerDay  # noqa: E402
from grading.page import Overview, Page  # noqa: E402
from grading.rebuild import Rebuild  # noqa: E402
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor  # noqa: E402
from nbgrader import preprocessors as ours  # noqa: E402

c = get_config()  # noqa: F821 - nbgrader puts it there

c.CourseDirectory.course_id = "ddpm-tutorial"
c.CourseDirectory.root = str(HERE)
# Several processes write to the gradebook: each waits for its turn.
c.CourseDirectory.db_url = f"sqlite:///{HERE}/gradebook.db?timeout=120"
# The first cell of what is handed out: it installs the package where that is missing.
c.IncludeHeaderFooter.header = str(HERE / "header.ipynb")

c.Autograde.sanitize_preprocessors = [
    Rebuild,
    ours.ClearOutput,
    ours.DeduplicateIds,
    ours.OverwriteKernelspec,
    ours.OverwriteCells,
    ours.CheckCellMetadata,
]
c.Rebuild.root = str(HERE)
# ExecuteApart stands where nbgrader's Execute would run a student's code with the tests beside it.
c.Autograde.autograde_preprocessors = [
    ExecuteApart,
    ours.LimitOutput,
    ours.SaveAutoGrades,
    ours.AssignLatePenalties,
    ours.CheckCellMetadata,
]
c.GenerateFeedback.preprocessors = [
    ours.GetGrades,
    Overview,
    HideTests,
    CSSHTMLHeaderPreprocessor,
]
c.GenerateFeedback.exporter_class = Page
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {
    "markdown2html": "grading.feedback.markdown",
    "clean_html": "grading.feedback.clean",
}

# The late policy. Without a due date nothing is late; without these lines nothing is taken off.
c.AssignLatePenalties.plugin_class = PerDay
c.PerDay.share = 0.1

# How a learning platform begins the names in its download. Only this part is the platform's, and
# is believed; what follows it in a name is the student's. The first pattern that fits counts. Take
# the first away if your platform puts no time: a time in a name is then the student's own.
c.Collect.prefixes = [
    r"(?P<student>[^\W_].*?)_(?P<time>\d{4}-\d\d-\d\dT\d{4})_",
    r"(?P<student>[^\W_][^_]*)_",
]
# Canvas and Moodle put no times, but numbers, which their tables have too. To take what they
# download as it is, delete the four lines above, from `c.Collect.prefixes = [` to `]`. Then remove
# the number sign and the space at the beginning of one of these two lines:
# c.Collect.prefixes = [r".*?_(?:LATE_)?(?P<student>\d+)_\d+_"]  # Canvas: the table's ID
# c.Collect.prefixes = [r".*?_(?P<student>\d+)_assignsubmission_file_?"]  # Moodle: Participant
c.Collect.time = "%Y-%m-%dT%H%M"  # as Python's strptime has it
c.Collect.zone = "UTC"  # of the times in the names: "Europe/Berlin", say
