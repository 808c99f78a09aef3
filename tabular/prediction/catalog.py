"""The models that predict from a row of a table, as data: importing this file imports no torch."""

from zoo.records import Entry, Paper, TaskEntry

ENTITY_EMBEDDINGS = Paper(
    title="Entity Embeddings of Categorical Variables", authors="Guo and Berkhahn", year=2016, id="arXiv:1604.06737"
)

MODELS: tuple[Entry, ...] = (
    Entry(
        name="table_mlp",
        task="tabular/prediction",
        builder="tabular.prediction.table_mlp:TableMLP",
        summary="Perceptron on numbers and learned vectors of categories; counted at the columns of Adult",
        paper=ENTITY_EMBEDDINGS,
        num_params=148_481,
        recipe={"lr": 2e-3, "epochs": 40, "schedule": "cosine", "batch_size": 256, "weight_decay": 0.01},
    ),
)

TASKS: tuple[TaskEntry, ...] = (
    TaskEntry(
        name="tabular/prediction",
        builder="tabular.prediction.task:TablePrediction",
        reader="tabular.data.reader:read_table",
        summary="A class or a number for each row of a .csv, .tsv or .parquet file, by the type of its target column.",
    ),
)
