"""Classical classifiers of texts, to compare with.

Source: Joachims 1998, doi:10.1007/BFb0026683 (texts as weighted counts of words, and a linear classifier); Sparck Jones
1972, doi:10.1108/eb026526 (the weights).
Differs from the papers: logistic regression for the support vector machine, and pairs of words beside words.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nlp.data.sources import TextSource
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.metrics import Metric

FEW_TEXTS = 1000  # below, words that occur once count too
LEAST_PROBABILITY = 1e-12


def tfidf_logistic_regression(
    bundle: Bundle, split: str, *, metrics: Callable[[], Mapping[str, Metric]]
) -> dict[str, float]:
    """Fits logistic regression on TF-IDF of words and pairs of words, on the training part, and judges it on another.

    metrics: gives new metrics, which take logits and class numbers.
    Returns: those of them that are single numbers.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, judged = _texts(bundle, "train"), _texts(bundle, split)
    assert bundle.classes is not None, "texts have classes"
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1 if len(train) < FEW_TEXTS else 2)
    model = make_pipeline(words, LogisticRegression(max_iter=1000))
    model.fit(train.texts, train.codes.numpy())
    probs = torch.full((len(judged), len(bundle.classes)), LEAST_PROBABILITY)  # of classes that train lacks
    probs[:, torch.from_numpy(model.classes_)] = torch.from_numpy(model.predict_proba(judged.texts)).float()
    return _values(metrics(), probs.clamp(min=LEAST_PROBABILITY).log(), judged.codes)


def _texts(bundle: Bundle, split: str) -> TextSource:
    source = bundle.parts.get(split)
    if not isinstance(source, TextSource):
        raise DataError(f"The part {split!r} holds no raw texts; read the data by nlp.data.texts.read_texts.")
    return source


def _values(metrics: Mapping[str, Metric], logits: Tensor, codes: Tensor) -> dict[str, float]:
    values = {}
    for name, metric in metrics.items():
        metric.update(logits, codes)
        value = metric.compute()
        if not isinstance(value, Tensor) or value.ndim == 0:
            values[name] = float(value)
    return values
