"""Errors whose message alone tells a user what is wrong and what to do."""


class TutorialError(Exception):
    """Something outside the code is wrong: a file, a folder, a setting. Shown without a trace."""
