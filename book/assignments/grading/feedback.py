"""What a student gets to see: nothing of the hidden tests, nothing that a browser would run."""

import re

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

HIDDEN = re.compile(
    r"\n*^[ ]*### BEGIN HIDDEN TESTS.*?^[ ]*### END HIDDEN TESTS[^\n]*", re.M | re.S
)


class HideTests(NbGraderPreprocessor):
    """Take the hidden tests out of the feedback. What failed in them is still said."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, cell_index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Cut what lies between the marks."""
        cell.source = HIDDEN.sub("", cell.source)
        return cell, resources
