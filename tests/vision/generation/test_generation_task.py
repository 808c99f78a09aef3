"""The task of two players: what each phase changes, penalties, judging, seeds and images as inputs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vision.data.transforms import preprocessing_from
from vision.generation.dcgan import dcgan
from vision.generation.rows import hashes_of
from vision.generation.task import ImageGeneration, groups_of
from zoo.data import ArraySource, Bundle
from zoo.errors import DataError, UnknownNameError
from zoo.explanation import Explanation
from zoo.optim import make_schedule
from zoo.records import Entry
from zoo.training import Engine, Recipe, evaluate, run_step

NARROW = {"image_size": 16, "channels": 1, "latent_dim": 6, "generator_width": 4, "discriminator_width": 4}
WGAN = {"loss": "wasserstein", "gradient_penalty": 10.0}


def phases_of(task, model, *, recipe=None, groups=None):
    recipe = recipe or Recipe(optimizer="adam", accelerator="cpu")
    groups = groups or [{"params": list(model.parameters()), "lr": 1e-2, "weight_decay": 0.0}]
    schedule = make_schedule("constant", total_steps=10)
    return task.phases(task.modules(model), groups, schedule, recipe), Engine(recipe, launch=False)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items() if value.is_floating_point()}


def changed(module, before):
    return [
        name for name, value in module.state_dict().items() if name in before and not torch.equal(value, before[name])
    ]


@pytest.fixture
def critic():
    torch.manual_seed(0)
    return dcgan(**NARROW, discriminator_norm="layer")


@pytest.fixture
def batch(bundle):
    return next(bundle.train.batches(batch_size=16))


# -- Phases


def test_each_phase_changes_its_player_alone(task, model, batch):
    """Fails if the discriminator's optimizer holds the generator's parameters, or a phase does not train."""
    phases, engine = phases_of(task, model)
    assert [(phase.name, phase.every) for phase in phases] == [("discriminator", 1), ("generator", 1)]
    for phase, own, other in ((phases[0], "discriminator", "generator"), (phases[1], "generator", "discriminator")):
        before = {name: dict(model.get_submodule(name).named_parameters()) for name in (own, other)}
        before = {name: {key: value.detach().clone() for key, value in held.items()} for name, held in before.items()}
        run_step([phase], [batch], step=0, engine=engine)
        assert len(changed(model.get_submodule(own), before[own])) == len(before[own])
        assert not changed(model.get_submodule(other), before[other])
    held = [{id(p) for group in phase.optimizer.param_groups for p in group["params"]} for phase in phases]
    assert not held[0] & held[1]
    assert len(held[0] | held[1]) == len(list(model.parameters()))


def test_a_step_leaves_no_gradient_behind(task, model, batch):
    """Fails if the generator's phase piles up gradients in the discriminator, which its next step would take."""
    phases, engine = phases_of(task, model)
    logs = run_step(phases, [batch], step=0, engine=engine)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert {"discriminator/loss", "discriminator/real_score", "generator/loss"} <= logs.keys()


def test_critic_steps_come_before_the_generators(critic, bundle, batch):
    """Fails if the generator moves in each step: of 7 steps it takes 2, with 5 of the critic from one to the next."""
    task = ImageGeneration.from_bundle(bundle, critic_steps=5, **WGAN)
    phases, engine = phases_of(task, critic)
    turns = []
    for step in range(7):
        before = {name: state(critic.get_submodule(name)) for name in ("generator", "discriminator")}
        logs = run_step(phases, [batch], step=step, engine=engine)
        moved = [name for name in changed(critic.generator, before["generator"]) if "running" not in name]
        assert bool(moved) == ("generator/loss" in logs)
        assert changed(critic.discriminator, before["discriminator"])
        turns.append(bool(moved))
    assert sum(turns) == 2
    assert turns.index(True, turns.index(True) + 1) - turns.index(True) == 5


def test_losses_by_hand(task, model, batch):
    """The discriminator's loss is that of real and drawn scores, each with batch statistics of its own."""
    torch.manual_seed(1)
    found = task.discriminator_losses(model.generator, model.discriminator, batch)
    torch.manual_seed(1)
    drawn = model.generator(torch.randn(16, 6)).detach()
    real_scores, drawn_scores = model.discriminator(batch[0]), model.discriminator(drawn)
    wanted = nn.functional.softplus(-real_scores).mean() + nn.functional.softplus(drawn_scores).mean()
    torch.testing.assert_close(found["loss"], wanted)
    torch.testing.assert_close(found["drawn_score"], drawn_scores.mean())
    torch.manual_seed(1)
    found = task.generator_losses(model.generator, model.discriminator, batch)
    torch.testing.assert_close(found["loss"], nn.functional.softplus(-drawn_scores).mean())


def test_the_generator_is_not_differentiated_in_the_discriminators_turn(task, model, batch):
    task.discriminator_losses(model.generator, model.discriminator, batch)["loss"].backward()
    assert all(parameter.grad is None for parameter in model.generator.parameters())


def test_penalties_count_in_the_loss(critic, bundle, batch):
    """Fails if lambda is dropped, or R1 is taken whole in place of half."""
    values = {}
    for options in ({}, {"gradient_penalty": 10.0}, {"r1": 4.0}):
        task = ImageGeneration.from_bundle(bundle, loss="wasserstein", **options)
        torch.manual_seed(2)
        values[next(iter(options), "none")] = task.discriminator_losses(critic.generator, critic.discriminator, batch)
    base = values["none"]["loss"]
    penalty = values["gradient_penalty"]
    torch.testing.assert_close(penalty["loss"], base + 10 * penalty["gradient_penalty"])
    torch.testing.assert_close(values["r1"]["loss"], base + 2 * values["r1"]["r1"])
    torch.testing.assert_close(base, values["none"]["drawn_score"] - values["none"]["real_score"])


def test_a_penalty_needs_a_critic_without_batch_norm(model, bundle):
    task = ImageGeneration.from_bundle(bundle, **WGAN)
    with pytest.raises(ValueError, match="discriminator_norm"):
        phases_of(task, model)


def test_a_stage_that_trains_one_player_only(task, model):
    """Fails if fine-tuning the last layer group trains a discriminator against a generator that stands still."""
    groups = [{"params": list(model.discriminator.main[-1].parameters()), "lr": 1e-3, "weight_decay": 0.0}]
    with pytest.raises(ValueError, match='strategy="full"'):
        phases_of(task, model, groups=groups)


def test_groups_keep_their_rates(model):
    generator = list(model.generator.parameters())
    groups = [
        {"params": [generator[0], *model.discriminator.parameters()], "lr": 1.0, "weight_decay": 0.5},
        {"params": generator[1:], "lr": 2.0, "weight_decay": 0.0},
    ]
    found = groups_of(model.generator, groups)
    assert [(group["lr"], group["weight_decay"], len(group["params"])) for group in found] == [
        (1.0, 0.5, 1), (2.0, 0.0, len(generator) - 1)
    ]  # fmt: skip
    assert len(groups[0]["params"]) > 1
    assert [len(group["params"]) for group in groups_of(model.discriminator, groups)] == [
        len(list(model.discriminator.parameters()))
    ]


# -- Judging


def test_judging_is_the_same_for_every_size_of_batch(task, model, bundle):
    """Fails if the noise of a judged image depends on its batch, or on torch's generator, which it must leave alone."""
    before = torch.get_rng_state()
    values = [evaluate(model, task, bundle.validation.batches(batch_size=size))[0] for size in (12, 5, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert values[0].keys() == {"fid_random_features"}
    for value in values[1:]:
        assert value["fid_random_features"] == pytest.approx(values[0]["fid_random_features"], rel=1e-4)
    assert task.monitor in values[0]


def test_each_image_has_noise_of_its_own(bundle):
    hashes = hashes_of(bundle.train.tensors[0])
    assert len(hashes.unique()) == 60
    assert torch.equal(hashes_of(bundle.train.tensors[0][7:9]), hashes[7:9])
    alike = torch.zeros(2, 1, 16, 16)
    alike[1, 0, -1, -1] = 1
    assert len(hashes_of(alike).unique()) == 2


def test_a_generator_of_the_data_scores_best(task, bundle):
    """Fails if real features are compared with real ones: every generator would then score the same."""

    class Copies(nn.Module):
        latent_dim = 2

        def __init__(self, images):
            super().__init__()
            self.images = nn.Parameter(images)

        def forward(self, noise):
            return self.images[(noise[:, 0].abs() * 1000).long() % len(self.images)]

    scores = []
    for images in (bundle.train.tensors[0], torch.zeros(3, 1, 16, 16)):
        holder = nn.Module()
        holder.generator, holder.latent_dim = Copies(images), 2
        scores.append(evaluate(holder, task, bundle.validation.batches(batch_size=6))[0]["fid_random_features"])
    assert scores[0] < 0.5 * scores[1]


def test_baselines_stand_in_order(task, bundle):
    """Fails if a baseline is not compared with the part asked for, or noise comes nearer than real images."""
    found = {name: judge(bundle, "validation")["fid_random_features"] for name, judge in task.baselines().items()}
    assert found["training images"] < found["uniform noise"]
    assert found["normal pixels"] < found["uniform noise"]
    with pytest.raises(DataError, match="train, validation"):
        task.baselines()["normal pixels"](bundle, "test")


# -- The data


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 1, 16, 16), np.uint8), "floats"),
        (np.zeros((4, 64), np.float32), r"\[C, H, W\]"),
        (np.full((4, 1, 16, 16), 200, np.float32), "127.5"),
        (np.full((4, 1, 16, 16), np.nan, np.float32), "scale"),
    ],
)
def test_data_that_no_generator_can_draw(images, words):
    with pytest.raises(DataError, match=words):
        ImageGeneration.from_bundle(Bundle(train=ArraySource(images), task="vision/generation", kind=None))


def test_a_bundle_with_labels_will_do(model, bundle):
    """Fails if batches must be of one part: labels beside the images are ignored."""
    images = bundle.train.tensors[0]
    labelled = Bundle.from_arrays(images, np.arange(60) % 3, task="vision/generation")
    task = ImageGeneration.from_bundle(labelled)
    inputs, targets = next(labelled.train.batches(batch_size=8))
    assert task.discriminator_losses(model.generator, model.discriminator, (inputs, targets))["loss"].isfinite()


def test_the_schema_builds_the_task_again(bundle):
    options = {"loss": "hinge", "r1": 1.0, "critic_steps": 3, "fid_classifier": "runs/classifier"}
    task = ImageGeneration.from_bundle(bundle, **options)
    again = ImageGeneration(**task.schema())
    assert again.schema() == task.schema()
    assert again.monitor == "fid_own_classifier"
    assert again.fid_classifier.endswith("runs/classifier")
    assert again.fid_classifier != "runs/classifier"  # found from any folder


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"loss": "hinges"}, UnknownNameError, "hinge"),
        ({"gradient_penalty": -1.0}, ValueError, "from 0 up"),
        ({"critic_steps": 0}, ValueError, "at least 1"),
    ],
)
def test_options_that_cannot_be(options, error, words):
    with pytest.raises(error, match=words):
        ImageGeneration(input_shape=(1, 16, 16), **options)


def test_the_model_is_built_for_the_data(task):
    entry = Entry(name="x", task="vision/generation", builder="x:y", summary="")
    assert task.model_arguments(entry) == {"image_size": 16, "channels": 1}
    with pytest.raises(DataError, match="squares"):
        ImageGeneration(input_shape=(1, 16, 12)).model_arguments(entry)


def test_other_data_must_have_the_shape(task, bundle):
    task.check_bundle(bundle)
    other = Bundle(train=ArraySource(np.zeros((2, 3, 16, 16), np.float32)), task="vision/generation", kind=None)
    with pytest.raises(DataError, match=r"\[1, 16, 16\]"):
        task.check_bundle(other)


# -- Predicting and explaining


def test_seeds_and_images_in_any_order(task, model):
    """Fails if drawn and given images change places, or batch norm sees the rows together."""
    given = torch.rand(1, 16, 16) * 2 - 1
    found = task.predict(model, [4, given, 2])
    assert [set(row) for row in found] == [{"seed", "score"}, {"score"}, {"seed", "score"}]
    assert [row.get("seed") for row in found] == [4, None, 2]
    model.eval()
    with torch.no_grad():
        wanted = [
            model.discriminator(image[None]).item()
            for image in (model.sample(1, seed=4)[0], given, model.sample(1, seed=2)[0])
        ]
    assert [row["score"] for row in found] == pytest.approx(wanted, abs=1e-6)
    assert task.predict(model, given[None])[0]["score"] == pytest.approx(wanted[1], abs=1e-6)
    assert task.predict(model, given.numpy())[0]["score"] == pytest.approx(wanted[1], abs=1e-6)
    assert [row["seed"] for row in task.predict(model, torch.tensor([4, 2]))] == [4, 2]
    assert task.predict(model, 4) == task.predict(model, [4])


def test_predicting_leaves_the_model_in_its_mode(task, model):
    before = state(model)
    model.train()
    task.predict(model, [1])
    task.epoch_figures(model)
    assert model.training
    assert not changed(model, before)


@pytest.mark.parametrize(
    "inputs",
    [
        *([], ["cat"], [-1], [True], [1.5], None, 2**63),
        *(torch.zeros(2, 1, 1, 16, 16), torch.zeros(1, 16, 16, dtype=torch.uint8), [torch.zeros(3, 16, 16)]),
    ],
)
def test_what_is_no_row(task, model, inputs):
    """Fails if it ends as an error inside the first layer."""
    with pytest.raises(DataError):
        task.predict(model, inputs)


def test_reads_seeds_and_files(model, tmp_path, monkeypatch):
    """Fails if the name of a file that is a number is taken for a seed, or files are not scaled to -1..1."""
    monkeypatch.chdir(tmp_path)
    scale = preprocessing_from({"size": [16, 16], "resize": 16, "mean": [0.5], "std": [0.5]})
    task = ImageGeneration(input_shape=(1, 16, 16), preprocessing=scale)
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save("white.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "7", format="png")
    read = task.read_inputs(["12", "white.png", "7"])
    assert read.names == ["12", "white.png", "7"]
    assert read.rows[0] == 12
    assert (read.rows[1] == 1).all()
    assert (read.rows[2] == -1).all()
    assert len(task.predict(model, read.rows)) == 3
    for item in ("cat.png", "-3", "1.5"):
        with pytest.raises(DataError, match="seed"):
            task.read_inputs([item])


def test_pictures(task, model):
    """Fails if the picture has no place for each image, or the grid of an epoch changes between two looks."""
    figure = task.picture(model, [1, 2, 3], task.predict(model, [1, 2, 3]))
    assert [axis.get_title() for axis in figure.axes[:3]][1].startswith("seed 2: ")
    grids = [task.epoch_figures(model)["samples"].axes[0].images[0].get_array() for _ in range(2)]
    assert grids[0].shape[0] == 8 * 16 + 7 * 2
    assert (np.asarray(grids[0]) == np.asarray(grids[1])).all()


@pytest.mark.parametrize("method", ["grad_cam", "saliency"])
def test_explains_the_score(task, model, method):
    """Fails if the explanation does not come from the discriminator, or has another size than the image."""
    given = torch.rand(1, 16, 16) * 2 - 1
    explanation = task.explain(model, [3, given], method=method)
    assert [label.split(":")[0] for label in explanation.labels] == ["seed 3", "given"]
    assert isinstance(explanation, Explanation)
    assert explanation.heat.shape == (2, 16, 16)
    torch.testing.assert_close(explanation.inputs[1], given)
    assert explanation.heat[1].any()
    with pytest.raises(ValueError, match="no classes"):
        task.explain(model, [3], target=1)


def test_saliency_is_the_gradient_of_the_score(task, model):
    """An independent reference: autograd on the discriminator in evaluation mode."""
    given = (torch.rand(1, 1, 16, 16) * 2 - 1).requires_grad_()
    model.eval()
    model.discriminator(given).sum().backward()
    explanation = task.explain(model, given.detach(), method="saliency")
    torch.testing.assert_close(explanation.raw.abs(), given.grad.abs())
