"""The page that a student gets: at its top each part by name, and what is still to come of it.

nbgrader's own lists points without names, and says nothing of a mark that is still to be given.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Unicode

from .cells import ANSWER, free_names, name_of, tree_of
from .feedback import HIDDEN
from .statements import defined

TITLE = re.compile(r"^##? (.*?)(?: \(\d[^()]*\))?$", re.M)  # without the points and the minutes
WAITS = "This part waits to be marked by a person, and counts no points until then."
AGAIN = "This part waits to be marked again by a person. Until then its earlier mark counts."
LEANS = "This part uses {}, where points were lost. It may fail for that reason alone: begin there."
# What is replaced of nbgrader's page, which `super` stands for.
PAGE = """
{%- extends 'index.html.j2' -%}
{% macro number(points) %}{{ "%.4g" | format(points) }}{% endmacro %}
{%- block header -%}
{{ super() | replace('<html>', '<html lang="en">') | replace('</head>', '
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  #parts { background: white; margin: 0.5em 0; }
  #parts td:last-child { text-align: right; white-space: nowrap; }
  .note-of-part { color: #8a4b00; margin: 0.3em 0 1em; }
  #parts .note-of-part { margin: 0; }
  div.input_area, div.input_area pre { overflow-x: auto; }
  div.output_area pre { white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; }
</style></head>') }}
{%- endblock header -%}
{% block body %}
{% set about = resources.nbgrader %}
<body>
  <a name="top"></a>
  <div class="container"><div class="panel panel-default">
    <div class="panel-heading">
      <h4>{{ about.notebook }}: {{ number(about.score) }} of {{ number(about.max_score) }} points
        {%- if about.waiting %} so far ({{ about.waiting }} to be marked){% endif %}</h4>
      <table id="parts" class="table table-condensed">
        {% for part in about.parts %}
        <tr>
          <td><a href="#{{ part.name | e }}">{{ part.title | e }}</a>
            {%- if part.comment %}, <a href="#comment-{{ part.comment | e }}">comment</a>{% endif %}
            {% if part.note %}<p class="note-of-part">{{ part.note }}</p>{% endif %}</td>
          <td>{{ number(part.points) }} of {{ number(part.most) }}</td>
        </tr>
        {% endfor %}
        {% if about.late_penalty > 0 %}
        <tr><td>Handed in late</td><td>-{{ number(about.late_penalty) }}</td></tr>
        {% endif %}
      </table>
    </div>
    <div class="panel-body"><div id="notebook" class="border-box-sizing">
      <div class="container" id="notebook-container">{{ self.body_loop() }}</div>
    </div></div>
  </div></div>
</body>
{%- endblock body %}
{% block any_cell scoped %}
{{ super() }}
{% if cell.metadata.note_of_part %}<p class="note-of-part">{{ cell.metadata.note_of_part }}</p>
{% endif %}
{% endblock any_cell %}
"""


class Page(HTMLExporter):
    """nbgrader's page with another top, and with a note below the parts that have one."""

    raw_template = Unicode(PAGE)


class Part(NamedTuple):
    """What the page says of a part: `comment` is the cell that has one, `note` is HTML."""

    name: str
    title: str
    points: float
    most: float
    comment: str = ""
    note: str = ""


class Overview(NbGraderPreprocessor):
    """After nbgrader's GetGrades: what the page says beside the points."""

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Leave it where the page finds it: with the cells, and in the resources."""
        about = resources["nbgrader"]
        names = about["notebook"], about["assignment"], about["student"]
        with Gradebook(about["db_url"]) as gradebook:
            waiting = {
                grade.name: grade.manual_score is not None
                for grade in gradebook.find_submission_notebook(*names).grades
                if grade.needs_manual_grade
            }
        about["parts"] = overview(nb.cells, waiting)
        about["waiting"] = f"{len(waiting)} part{'s' * (len(waiting) > 1)}" if waiting else ""
        notes = {part.name: part.note for part in about["parts"]}
        for cell in nb.cells:
            cell.metadata["note_of_part"] = notes.get(name_of(cell), "")
        return nb, resources


def overview(cells: Sequence[NotebookNode], waiting: Mapping[str, bool]) -> list[Part]:
    """All parts in order, of a notebook with points.

    `waiting` has those that wait for a person, and whether there is an earlier mark.
    """
    parts, title, comment = list[Part](), "", ""
    answers, owners = dict[str, str](), dict[str, Part]()
    for cell in cells:
        about, name = cell.metadata.get("nbgrader", {}), name_of(cell)
        if not about and cell.cell_type == "markdown" and (found := TITLE.findall(cell.source)):
            title = found[-1]
        if cell.cell_type == "code" and about.get("solution"):
            answers[name.removesuffix(ANSWER)] = cell.source
        comment = name if about.get("comment") else comment
        if not about.get("grade"):
            continue
        part = Part(name, title or name, about["score"], about["points"], comment)
        answer = answers.get(name, "")
        if name in waiting:
            part = part._replace(note=AGAIN if waiting[name] else WAITS)
        elif part.points < part.most:
            used = _used(answer) | _used(HIDDEN.sub("", cell.source)) - defined(answer)
            part = part._replace(note=_leans_on({n: owners[n] for n in sorted(used & set(owners))}))
        parts.append(part)
        title, comment = "", ""
        owners |= dict.fromkeys(defined(answer), part)
    return parts


def _used(source: str) -> set[str]:
    return free_names(source) if tree_of(source) else set()


def _leans_on(used: Mapping[str, Part]) -> str:
    """That a part may fail because of others; empty if all that it uses is right."""
    wrong = [
        f"<code>{html.escape(name)}</code> of {html.escape(part.title.partition(':')[0])}"
        for name, part in used.items()
        if part.points < part.most
    ]
    return LEANS.format(" and ".join(wrong)) if wrong else ""
