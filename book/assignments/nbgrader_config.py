"""Settings of nbgrader for this course: run its commands in this folder."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from grading.execute import ExecuteApart  # noqa: E402
from grading.feedback import HideTests  # noqa: E402
from grading.late import PerDay  # noqa: E402
from grading.rebuild import Rebuild  # noqa: E402
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor  # noqa: E402
from nbgrader import preprocessors as ours  # noqa: E402

c = get_config()  # noqa: F821 - nbgrader puts it there

c.CourseDirectory.course_id = "ddpm-tutorial"
c.CourseDirectory.root = str(HERE)
# Several processes write to the gradebook: each waits for its turn.
c.CourseDirectory.db_url = f"sqlite:///{HERE}/gradebook.db?timeout=120"

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
c.GenerateFeedback.preprocessors = [ours.GetGrades, HideTests, CSSHTMLHeaderPreprocessor]
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {"markdown2html": "grading.feedback.markdown"}

# The late policy. Without a due date nothing is late; without these lines nothing is taken off.
c.AssignLatePenalties.plugin_class = PerDay
c.PerDay.share = 0.1

# What a learning platform calls the files of a download: STUDENT_ASSIGNMENT.ipynb, or with the
# time of handing in, STUDENT_2027-02-01T2315_ASSIGNMENT.ipynb. Change this to what yours does.
# Of a file that is called something else, STUDENT is what stands before the first underscore.
time = r"\d{4}-\d\d-\d\dT\d{4}"
student = rf"\w[\w.-]*?(?=_(?:{time}_)?\d\d-[a-z]+\.ipynb$)|[^\W_][^/_]*"
c.FileNameCollectorPlugin.named_regexp = (
    rf".*/(?P<student_id>{student})_((?P<timestamp>{time})_)?(?P<file_id>[^/]+)\.ipynb"
)
