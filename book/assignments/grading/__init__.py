"""The grader of the assignments: INSTRUCTORS.md says how to use it."""
