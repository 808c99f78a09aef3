"""The recommenders, as data: importing this file imports no torch."""

from zoo.records import Entry, Paper, TaskEntry

MATRIX_FACTORIZATION = Paper(
    title="Matrix Factorization Techniques for Recommender Systems", authors="Koren, Bell and Volinsky", year=2009,
    id="doi:10.1109/MC.2009.263",
)  # fmt: skip

MODELS: tuple[Entry, ...] = (
    Entry(
        name="matrix_factorization",
        task="tabular/recommendation",
        builder="tabular.recommendation.matrix_factorization:MatrixFactorization",
        summary="Average, biases and matching factors of user and item; counted at MovieLens-100k's",
        paper=MATRIX_FACTORIZATION,
        num_params=133_977,
        task_options={"regularisation": 0.1},
        recipe={"lr": 5e-3, "epochs": 15, "schedule": "cosine", "batch_size": 1024, "weight_decay": 0.0},
    ),
)

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="tabular/recommendation",
        builder="tabular.recommendation.task:Recommendation",
        reader="tabular.recommendation.ratings:read_ratings",
        summary="Ratings of items by users, from a table with a column each for user, item and rating.",
    ),
)
