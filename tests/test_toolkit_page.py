"""The page docs/toolkit.md: made of the results that lie beside it, for every study."""

from pathlib import Path

import pytest

from docs.toolkit.page import load, page
from docs.toolkit.setting import verdict
from docs.toolkit.studies import STUDIES

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "toolkit" / "results"


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_study_has_a_result_with_its_pictures(study):
    loaded = load(RESULTS, study.name)
    assert loaded is not None, f"run python -m docs.toolkit --only {study.name}"
    result, setting = loaded
    assert result.rows
    assert result.found
    assert all(len(row) == len(result.columns) for row in result.rows)
    assert all((DOCS / "images" / picture).is_file() for picture in result.pictures)
    assert setting["minutes"] > 0


def test_page_is_of_these_results():
    """Fails if a figure was typed, or a part is missing in the list at the end."""
    assert (DOCS / "toolkit.md").read_text(encoding="utf-8") == page(STUDIES, RESULTS), "run python -m docs.toolkit"


@pytest.mark.parametrize(
    ("base", "other", "expected"),
    [
        ([0.80, 0.81, 0.82], [0.90, 0.91, 0.92], "helps"),
        ([0.80, 0.81, 0.82], [0.70, 0.71, 0.72], "hurts"),
        ([0.80, 0.81, 0.82], [0.81, 0.82, 0.80], "no difference seen"),
        ([0.80], [0.81], "better"),
    ],
)
def test_verdict(base, other, expected):
    """Fails if a difference within the error counts, or its sign is lost."""
    assert verdict(base, other) == expected
