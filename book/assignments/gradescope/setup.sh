#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image: Python, the package, the tests.
#
# To try it elsewhere: AUTOGRADER names the folder that is /autograder there, and AUTOGRADER_PYTHON
# a Python that has the package already, with which nothing is installed.
set -euo pipefail
autograder=${AUTOGRADER:-/autograder}
source=$autograder/source
python=${AUTOGRADER_PYTHON:-}

if [ -z "$python" ]; then
	# The system's Python where it is new enough, or else one of uv's, in a place that all can read:
	# a student's code runs as another user.
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		ca-certificates python3 python3-venv
	python3 -m venv /opt/uv
	/opt/uv/bin/pip install --quiet uv
	export UV_PYTHON_INSTALL_DIR=/opt/python
	/opt/uv/bin/uv venv --quiet --python '>=3.11' /opt/autograder
	python=/opt/autograder/bin/python
	wheels=("$source"/ddpm_tutorial-*.whl)
	/opt/uv/bin/uv pip install --quiet --python "$python" --torch-backend cpu \
		--constraint "$source/constraints.txt" "ddpm-tutorial[teaching] @ file://${wheels[0]}"
	# What a student is to write stands in the package. A submission is given a part of it.
	package=$("$python" -c 'import ddpm_tutorial as package; print(package.__path__[0])')
	chmod --recursive go= "$package"
	chmod go=x "$package"
	chmod --recursive go=rX "$package/assets"
fi

chmod go=x "$source"
chmod go= "$source"/*.whl
printf '%s\n' "$python" >"$source/python"
cd "$source/course"
PATH="$(dirname "$python"):$PATH" nbgrader generate_assignment --force "$(cat "$source/assignment")"
