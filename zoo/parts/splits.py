"""How rows are dealt out to training, validation and test, or to folds."""

from zoo.parts.table import Part, PartTable

STONE = "Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x"
KOHAVI = "Kohavi 1995, A study of cross-validation and bootstrap for accuracy estimation, IJCAI"
ROBERTS = "Roberts et al. 2017, doi:10.1111/ecog.02881"
TASHMAN = "Tashman 2000, doi:10.1016/S0169-2070(00)00065-0"

SPLITS = PartTable(
    "split",
    Part("random", "zoo.data.splits:random_split", "own", "rows drawn by the seed"),
    Part("stratified", "zoo.data.splits:stratified_split", "own", "the classes' shares in every part"),
    Part("group", "zoo.data.splits:group_split", ROBERTS, "no group in two parts"),
    Part("time", "zoo.data.splits:time_split", TASHMAN, "the latest rows to test"),
    Part("column", "zoo.data.splits:column_split", "own", "the parts that the user names"),
    Part("k_fold", "zoo.data.kfolds:k_fold", STONE, "k folds drawn by the seed"),
    Part("stratified_k_fold", "zoo.data.kfolds:stratified_k_fold", KOHAVI, "the classes' shares in every fold"),
    Part("group_k_fold", "zoo.data.kfolds:group_k_fold", ROBERTS, "no group in two folds"),
    Part(
        "stratified_group_k_fold",
        "zoo.data.kfolds:stratified_group_k_fold",
        f"{ROBERTS}; scikit-learn's StratifiedGroupKFold",
        "no group in two folds, and the classes' shares as near as can be",
    ),
    Part(
        "time_series_k_fold",
        "zoo.data.kfolds:time_series_k_fold",
        TASHMAN,
        "each fold validates on rows later than it trains on",
    ),
    given=1,
)
