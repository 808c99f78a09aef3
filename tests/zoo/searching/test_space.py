"""The space of a search, as texts and as Python's own."""

import pytest

from zoo.errors import UnknownArgumentError
from zoo.searching import Choice, Range, read_space
from zoo.searching.space import applied, check_space


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1e-4..1e-1:log", Range(low=1e-4, high=0.1, log=True)),
        ("1..8", Range(low=1, high=8)),
        ("8..64:8", Range(low=8, high=64, step=8)),
        ("0..0.5:0.1", Range(low=0.0, high=0.5, step=0.1)),
        ("-1..1", Range(low=-1, high=1)),
        ("adam,sgd", Choice(values=("adam", "sgd"))),
        ("16,32", Choice(values=(16, 32))),
        ("none, true,0.5", Choice(values=(None, True, 0.5))),
        ((1, 8), Range(low=1, high=8)),
        ((0.5, 8), Range(low=0.5, high=8)),
        ([1, 8], Choice(values=(1, 8))),
        (Range(low=1, high=2), Range(low=1, high=2)),
    ],
)
def test_ways_to_write_a_part(given, expected):
    assert read_space({"x": given}) == {"x": expected}


@pytest.mark.parametrize(
    "given",
    [
        "5..1",
        "a..b",
        "1..2:lg",
        "0..1:log",
        "1..2:3",
        "adam",
        "adam,adam",
        [],
        [1],
        [{}, 1],
        3,
        (float("nan"), 1),
    ],
)
def test_what_is_no_space_is_named(given):
    with pytest.raises(ValueError, match="The space of x"):
        read_space({"x": given})


def test_an_empty_space_is_none():
    with pytest.raises(ValueError, match="nothing to search over"):
        read_space({})


class Fixed:
    """A trial that remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def suggest_int(self, name, low, high, **options):
        self.asked.append(("int", low, high, options))

    def suggest_float(self, name, low, high, **options):
        self.asked.append(("float", low, high, options))


def test_whole_numbers_stay_whole():
    """Fails if a batch size is drawn as 17.3, or a rate as a whole number."""
    trial = Fixed()
    Range(low=8, high=64, step=8).suggest(trial, "batch_size")
    Range(low=1.0, high=64.0).suggest(trial, "x")
    assert [kind for kind, *_ in trial.asked] == ["int", "float"]


KNOWN, MAPPINGS = ("lr", "batch_size", "optimizer_options"), ("optimizer_options",)


def test_options_are_checked_before_anything():
    space = read_space({"lr": (0.1, 1.0), "optimizer_options.momentum": (0.0, 0.9)})
    check_space(space, {}, KNOWN, MAPPINGS)
    with pytest.raises(UnknownArgumentError, match="Did you mean 'batch_size'"):
        check_space(read_space({"batch_siz": (1, 2)}), {}, KNOWN, MAPPINGS)
    with pytest.raises(UnknownArgumentError, match=r"search over lr, not lr\.x"):
        check_space(read_space({"lr.x": (1, 2)}), {}, KNOWN, MAPPINGS)
    with pytest.raises(ValueError, match=r"name the one.*optimizer_options\.NAME"):
        check_space(read_space({"optimizer_options": (1, 2)}), {}, KNOWN, MAPPINGS)
    with pytest.raises(ValueError, match="both given and searched"):
        check_space(space, {"lr": 0.1}, KNOWN, MAPPINGS)
    with pytest.raises(ValueError, match="both given and searched"):
        check_space(space, {"optimizer_options": {"momentum": 0.5}}, KNOWN, MAPPINGS)


def test_parameters_go_into_options():
    """Fails if an entry replaces all of its option, or the options given are changed."""
    given = {"lr": 1.0, "optimizer_options": {"eps": 1e-8}}
    found = applied(given, {"lr": 0.1, "optimizer_options.momentum": 0.9, "model_options.width": 4})
    assert found == {
        "lr": 0.1, "optimizer_options": {"eps": 1e-8, "momentum": 0.9}, "model_options": {"width": 4}
    }  # fmt: skip
    assert given == {"lr": 1.0, "optimizer_options": {"eps": 1e-8}}
