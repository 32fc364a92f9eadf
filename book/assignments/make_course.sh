#!/usr/bin/env bash
# A folder of the course from which classes are graded: the grader, every assignment, and what is
# handed out of each. No submissions, and no solutions.
#
#     book/assignments/make_course.sh FOLDER
#
# The Dockerfile beside this uses it. nbgrader has to be on the search path.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
course=$1
mkdir -p "$course/grading"
cp -R "$here"/{grade.py,grade_class.py,nbgrader_config.py,header.ipynb,source} "$course"
cp "$here"/grading/*.py "$course/grading"
cd "$course"
for assignment in source/*; do
	nbgrader generate_assignment "$(basename "$assignment")"
done
rm -f .nbgrader.log
chmod -R a+rX "$course"
