"""What holds for every test."""

import logging

import pytest

PACKAGES = ("zoo", "vision", "nlp", "tabular", "audio", "rl")


@pytest.fixture(autouse=True)
def _log_levels_are_as_imported() -> None:
    """A command run in the process turns logging up, which would show in the records of the tests after it."""
    for name in PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)
