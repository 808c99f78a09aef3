"""What makes training faster or fit into less memory, and what finds its options."""

from zoo.parts.table import Part, PartTable

TRAINING_OPTIONS = PartTable(
    "training option",
    Part(
        "channels_last",
        "zoo.training.recipe:Recipe",
        "own",
        "images laid out with the channels last; option channels_last of training",
    ),
    Part(
        "compile",
        "zoo.training.recipe:Recipe",
        "Ansel et al. 2024, doi:10.1145/3620665.3640366",
        "kernels made of the model by torch.compile; option compile of training",
    ),
    Part(
        "data_parallel",
        "zoo.training.recipe:Recipe",
        "Li et al. 2020, arXiv:2006.15704",
        "a copy of the model for each device (DDP); options devices and parallel of training",
    ),
    Part(
        "frozen_features",
        "zoo.training.recipe:Stage",
        "own",
        "what a frozen body gives, computed once and kept on disk; option cache_features of fine-tuning",
    ),
    Part(
        "gradient_checkpointing",
        "zoo.training.recomputing:recomputed_blocks",
        "Chen et al. 2016, arXiv:1604.06174, section 4",
        "activations computed again in the backward pass; option gradient_checkpointing of training",
    ),
    Part(
        "half_precision",
        "zoo.training.recipe:Recipe",
        "Micikevicius et al. 2017, arXiv:1710.03740; bfloat16 from Kalamkar et al. 2019, arXiv:1905.12322",
        "16-bit arithmetic with 32-bit weights; option precision of training",
    ),
    Part(
        "sharded_data_parallel",
        "zoo.training.recipe:Recipe",
        "Zhao et al. 2023, arXiv:2304.11277; Rajbhandari et al. 2019, arXiv:1910.02054, section 5",
        "a part of each parameter on each device (FSDP); option parallel of training",
    ),
    Part(
        "warm_up",
        "zoo.training.recipe:Stage",
        "Goyal et al. 2017, arXiv:1706.02677, section 2.2",
        "a linear rise of the rate in front of any schedule; option warmup_steps of training",
    ),
)

SEARCHES = PartTable(
    "search",
    Part(
        "batch_size",
        "zoo.training.batch_size:BatchSizes",
        "own",
        "the largest batch that fits; zoo.find_batch_size",
    ),
    Part(
        "learning_rate",
        "zoo.training.lr_finder:RateCurve",
        "Smith 2015, arXiv:1506.01186, section 3.3",
        "the loss over rates that rise from step to step; zoo.find_lr",
    ),
    Part(
        "options",
        "zoo.searching.study:Search",
        "Akiba et al. 2019, arXiv:1907.10902; TPE from Bergstra et al. 2011, NIPS 24, section 4",
        "any options of training, by Optuna, with trials pruned by validation; zoo.search",
    ),
    Part(
        "cross_validation",
        "zoo.ensembles.cross_validation:CrossValidation",
        "Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x",
        "k trainings, each judged on the fold it did not see; zoo.cross_validate",
    ),
)
