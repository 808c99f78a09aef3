"""The models that draw images, as data: importing this file imports no torch."""

from zoo.records import Entry, Paper, TaskEntry

DCGAN = Paper(
    title="Unsupervised representation learning with deep convolutional generative adversarial networks",
    authors="Radford, Metz and Chintala",
    year=2015,
    id="arXiv:1511.06434",
)
WGAN_GP = Paper(
    title="Improved training of Wasserstein GANs", authors="Gulrajani et al.", year=2017, id="arXiv:1704.00028"
)

# -- The rates are held as in the papers, but for the residual players', which falls to 0 over 100,000 steps there; the
# averaged weights are the zoo's own addition.
DCGAN_RECIPE = {
    "lr": 2e-4, "schedule": "constant", "epochs": 25, "batch_size": 128, "optimizer": "adam",
    "optimizer_options": {"betas": [0.5, 0.999]}, "weight_decay": 0.0, "ema": 0.999,
}  # fmt: skip
WGAN_GP_RECIPE = {
    "lr": 1e-4, "schedule": "constant", "epochs": 100, "batch_size": 64, "optimizer": "adam",
    "optimizer_options": {"betas": [0.0, 0.9]}, "weight_decay": 0.0, "ema": 0.999,
}  # fmt: skip
WGAN_GP_OPTIONS = {"loss": "wasserstein", "gradient_penalty": 10.0, "critic_steps": 5}

MODELS: tuple[Entry, ...] = (
    Entry(
        name="dcgan", task="vision/generation", builder="vision.generation.dcgan:dcgan", paper=DCGAN,
        summary="Strided convolutions and batch norm: generator 3,576,704, discriminator 2,765,568 parameters",
        num_params=6_342_272, input_shape=(3, 64, 64), task_options={"loss": "non_saturating"}, recipe=DCGAN_RECIPE,
    ),
    Entry(
        name="wgan_gp", task="vision/generation", builder="vision.generation.dcgan:dcgan", paper=WGAN_GP,
        summary="DCGAN with a critic of layer norms and a gradient penalty: generator 3,806,080, critic 2,765,568",
        num_params=6_571_648, input_shape=(3, 64, 64), config={"latent_dim": 128, "discriminator_norm": "layer"},
        task_options=WGAN_GP_OPTIONS, recipe=WGAN_GP_RECIPE,
    ),
    Entry(
        name="wgan_gp_resnet", task="vision/generation", builder="vision.generation.wgan_gp:wgan_gp_resnet",
        paper=WGAN_GP, num_params=2_258_308, input_shape=(3, 32, 32), task_options=WGAN_GP_OPTIONS,
        summary="Residual players for 32 x 32 images: generator 1,204,483, critic 1,053,825 parameters",
        recipe={**WGAN_GP_RECIPE, "lr": 2e-4},
    ),
)  # fmt: skip

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="vision/generation",
        builder="vision.generation.task:ImageGeneration",
        reader="vision.generation.data:read_images",
        summary="New images like those of a folder, of IDX files or of an array; classes are not needed.",
    ),
)
