"""Preprocessing: as scikit-learn does it, from the training rows alone, and kept."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch.utils.data import TensorDataset

from zoo.data import ArraySource, Bundle, Fitted, balance, fit_preprocessing, folds
from zoo.data.changes import replay
from zoo.data.preprocessing import min_max, pca_whitening, standardise, zca_whitening
from zoo.data.statistics import moments_of
from zoo.errors import DataError, UnknownArgumentError, UnknownNameError

GENERATOR = np.random.default_rng(0)
MIXED = GENERATOR.normal(size=(700, 6)) @ GENERATOR.normal(size=(6, 6)) + np.arange(6) * 3
MIXED = MIXED.astype("float32")
PICTURES = (GENERATOR.random((400, 3, 5, 4)).cumsum(-1) * 40).astype("uint8")
EVERY = {"standardise": standardise, "min_max": min_max, "pca_whitening": pca_whitening, "zca_whitening": zca_whitening}


def source(inputs):
    return ArraySource(torch.as_tensor(inputs), torch.zeros(len(inputs)))


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_scaling_is_scikit_learns(offset):
    """Fails if the variance is of N - 1, or sums of squares lose what an offset leaves of them."""
    inputs = MIXED + np.float32(offset)
    rows = torch.from_numpy(inputs)
    theirs = StandardScaler().fit_transform(inputs.astype("float64"))
    assert np.allclose(standardise(source(inputs))(rows), theirs, atol=2e-6)
    theirs = MinMaxScaler(feature_range=(-1, 2)).fit_transform(inputs.astype("float64"))
    assert np.allclose(min_max(source(inputs), low=-1, high=2)(rows), theirs, atol=2e-6)


@pytest.mark.parametrize("count", [None, 4])
def test_pca_whitening_is_scikit_learns(count):
    theirs = PCA(count, whiten=True).fit_transform(MIXED.astype("float64"))
    ours = pca_whitening(source(MIXED), num_components=count, eps=0.0)(torch.from_numpy(MIXED)).numpy()
    signs = np.sign((ours * theirs).sum(0))
    assert np.allclose(ours * signs, theirs, atol=2e-4)


def test_zca_whitening_against_its_formula():
    """Krizhevsky 2009, appendix A: W = (X X' / (N - 1)) ^ (-1/2). Fails if the axes are not turned back."""
    centred = MIXED.astype("float64") - MIXED.astype("float64").mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred / (len(MIXED) - 1) + 0.1 * np.eye(6))
    expected = centred @ (axes @ np.diag(values**-0.5) @ axes.T)
    ours = zca_whitening(source(MIXED), eps=0.1)(torch.from_numpy(MIXED)).numpy()
    assert np.allclose(ours, expected, atol=2e-4)


def test_whitened_rows_are_uncorrelated_and_zca_stays_near():
    rows = torch.from_numpy(MIXED)
    for fit in (pca_whitening, zca_whitening):
        assert np.allclose(np.cov(fit(source(MIXED), eps=0.0)(rows).numpy().T), np.eye(6), atol=1e-3)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    near, far = (fit(source(MIXED), eps=0.0)(rows) for fit in (zca_whitening, pca_whitening))
    assert (near - scaled).square().sum() < (far - scaled).square().sum()


def test_a_case_by_hand():
    """1, 2 and 6 have the mean 3 and the variance 14 / 3."""
    rows = torch.tensor([[1.0], [2.0], [6.0]])
    assert torch.allclose(standardise(source(rows))(rows), torch.tensor([[-2.0], [-1], [3]]) / (14 / 3) ** 0.5)
    assert torch.allclose(min_max(source(rows))(rows), torch.tensor([[0.0], [0.2], [1.0]]))
    assert torch.allclose(zca_whitening(source(rows), eps=0.0)(rows), torch.tensor([[-2.0], [-1], [3]]) / 7**0.5)


def test_images_by_channel_and_by_place():
    rows = torch.from_numpy(PICTURES)
    by_channel = standardise(source(PICTURES), per="channel")(rows)
    assert by_channel.shape == rows.shape
    assert torch.allclose(by_channel.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(by_channel.std((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-5)
    assert torch.allclose(standardise(source(PICTURES))(rows).std(0, unbiased=False), torch.ones(3, 5, 4), atol=1e-5)
    ranged = min_max(source(PICTURES), per="channel")(rows)
    assert torch.equal(ranged.amin((0, 2, 3)), torch.zeros(3))
    assert torch.allclose(ranged.amax((0, 2, 3)), torch.ones(3))
    white = zca_whitening(source(PICTURES))(rows)
    assert white.shape == rows.shape
    assert np.allclose(np.cov(white.flatten(1).numpy().T), np.eye(60), atol=1e-2)


def test_what_does_not_vary():
    rows = torch.tensor([[1.0, 1e3], [2.0, 1e3], [4.0, 1e3]])
    assert torch.equal(standardise(source(rows))(rows)[:, 1], torch.zeros(3))
    assert torch.equal(min_max(source(rows))(rows)[:, 1], torch.zeros(3))
    assert zca_whitening(source(rows))(rows)[:, 1].abs().max() < 1e-3
    with pytest.raises(DataError, match="give eps= above 0"):
        zca_whitening(source(rows), eps=0.0)
    with pytest.raises(DataError, match="One row does not vary"):
        pca_whitening(source(rows[:1]))


def test_moments_of_uneven_batches_are_numpys():
    """Fails if the last batch, of 188 rows, counts as much as the others."""
    found = moments_of(source(MIXED), diagonal=False)
    assert np.allclose(found.mean, MIXED.astype("float64").mean(0))
    assert np.allclose(found.scatter / 699, np.cov(MIXED.astype("float64").T))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", ["arrays", "dataset"])
def test_only_training_rows_are_looked_at(name, kind):
    """Fails if statistics change when validation and test rows do, or rows changed at random are counted."""

    class Grow:
        num_uniforms = 1

        def __call__(self, inputs, uniforms):
            return inputs * 100

    found = []
    for others in (MIXED[300:], MIXED[300:] * 50 + 7):
        if kind == "arrays":
            targets = np.arange(700) % 2
            bundle = Bundle.from_arrays(
                MIXED[:300], targets[:300], validation=(others[:200], targets[:200]),
                test=(others[200:], targets[:200]), augment=Grow(),
            )  # fmt: skip
        else:
            parts = [torch.from_numpy(part) for part in (MIXED[:300], others[:200], others[200:])]
            bundle = Bundle.from_dataset(*(TensorDataset(part, torch.arange(len(part)) % 2) for part in parts))
        found.append(fit_preprocessing(bundle, name))
    first, second = (bundle.fitted.tensors for bundle in found)
    assert all(torch.equal(value, second[part]) for part, value in first.items())
    direct = EVERY[name](source(MIXED[:300]))
    assert torch.equal(direct.tensors["shift"], first["shift"])
    for part, raw in {"validation": MIXED[300:500], "test": MIXED[500:]}.items():
        inputs = torch.cat([inputs for inputs, _ in found[0].parts[part].batches(batch_size=64)])
        assert torch.allclose(inputs, direct(torch.from_numpy(raw)), atol=1e-5)
    if kind == "arrays":  # of a Dataset the fingerprint covers the targets alone
        assert found[0].fingerprint != found[1].fingerprint


def test_it_comes_after_what_the_source_does():
    """Fails if the source's own transform is lost, or comes after."""
    bundle = Bundle.from_arrays(PICTURES, np.arange(400) % 2, transform=lambda x: x.float() / 255)
    prepared = fit_preprocessing(bundle, "min_max", low=-1.0)
    inputs = torch.cat([inputs for inputs, _ in prepared.train.batches(batch_size=64)])
    assert inputs.min() == -1
    assert (inputs.max() - 1).abs() < 1e-6
    assert prepared.fitted.tensors["shift"].max() <= 1
    assert fit_preprocessing(bundle, "pca_whitening", num_components=7).input_shape == (7,)


def test_it_is_kept_and_made_again(tmp_path):
    bundle = Bundle.from_arrays(PICTURES, np.arange(400) % 2)
    rows = torch.from_numpy(PICTURES)
    for name, options in {"zca_whitening": {"eps": 0.1}, "pca_whitening": {"num_components": 3}, "min_max": {}}.items():
        prepared = fit_preprocessing(bundle, name, **options)
        prepared.fitted.save(tmp_path / "fitted.safetensors")
        loaded = Fitted.load(tmp_path / "fitted.safetensors")
        for other in (loaded, pickle.loads(pickle.dumps(prepared.fitted)), replay(bundle, prepared.changes).fitted):
            assert torch.equal(other(rows), prepared.fitted(rows))
        assert (loaded.name, loaded.output_shape) == (name, prepared.input_shape)
        assert replay(bundle, prepared.changes, fitted=loaded).fingerprint == prepared.fingerprint


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda b: fit_preprocessing(b, "whitening"), UnknownNameError, "Did you mean"),
        (lambda b: fit_preprocessing(b, "zca_whitening", epsilon=1), UnknownArgumentError, "eps"),
        (lambda b: fit_preprocessing(fit_preprocessing(b, "min_max"), "standardise"), DataError, "by min_max already"),
        (lambda b: fit_preprocessing(balance(b, "oversample"), "min_max"), DataError, "fit the preprocessing first"),
        (lambda b: folds(fit_preprocessing(b, "min_max"), 3), DataError, "make the folds first, and fit each"),
        (lambda b: fit_preprocessing(b, "min_max", low=1.0, high=1.0), ValueError, "low must be below high"),
        (lambda b: fit_preprocessing(b, "standardise", per="channel"), DataError, "take per='feature'"),
        (lambda b: fit_preprocessing(b, "pca_whitening", num_components=9), DataError, "9 components of 6 numbers"),
        (lambda b: fit_preprocessing(b, "standardise").fitted(torch.zeros(2, 5)), DataError, r"rows \[6\], got \[5\]"),
        (lambda _: standardise(source(np.full((3, 2), np.nan, "float32"))), DataError, "Row 0 holds numbers"),
        (lambda _: zca_whitening(source(np.zeros((2, 5000), "float32"))), DataError, "too large to whiten"),
        (lambda _: standardise([("a text", 0)]), DataError, "Only inputs that are numbers"),
        (lambda _: zca_whitening([((torch.zeros(2), torch.zeros(3)), 0)]), DataError, "numbers in one tensor"),
    ],
)
def test_faults_have_a_remedy(make, error, message):
    with pytest.raises(error, match=message):
        make(Bundle.from_arrays(MIXED, np.arange(700) % 2))


def test_half_precision_rows():
    rows = torch.from_numpy(MIXED).bfloat16()
    assert standardise(source(MIXED))(rows).dtype == torch.float32
