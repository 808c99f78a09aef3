"""What holds for every test."""

import logging
from collections.abc import Iterator

import pytest

PACKAGES = ("zoo", "vision", "nlp", "tabular", "audio", "rl")


@pytest.fixture(autouse=True)
def _log_levels_are_given_back() -> Iterator[None]:
    """A command run in the process turns logging up, which would show in the records of tests after it."""
    before = {name: logging.getLogger(name).level for name in PACKAGES}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
