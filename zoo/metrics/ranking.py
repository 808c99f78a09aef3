"""How well scores rank: ROC and precision-recall curves, and the areas under them.

Source: ROC curves and areas, of several classes each against the rest, from Fawcett 2006, An introduction to ROC
  analysis, doi:10.1016/j.patrec.2005.10.010; the area of equal scores from Hanley and McNeil 1982,
  doi:10.1148/radiology.143.1.7063747; precision-recall curves from Davis and Goadrich 2006,
  doi:10.1145/1143844.1143874, whose points no straight line joins; average precision from Manning et al. 2008,
  Introduction to Information Retrieval, section 8.4.
Differs from the papers: equal scores are one step of average precision, as in scikit-learn; they have no order.
Shapes: B samples of a batch, N of all, C classes, K curves, P points of a curve, * any further dimensions.

All scores are kept, on the device they come from until they are needed: N or N x C numbers. In exchange the values are
exact.
What is undefined: ROC without a sample that is of the class, or without one that is not; recall without one that is.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.metrics.averages import Average, average_of, check_average, check_names, defined
from zoo.metrics.base import ListMetric, Processes, undefined
from zoo.metrics.inputs import Inputs, check_inputs, check_probabilities, check_range, check_scores, check_target

ONE_CURVE = ("binary", "micro")


class Curve(NamedTuple):
    """Points from the strictest threshold to the laxest.

    x:          [P] false positive rate, or recall.
    y:          [P] true positive rate, or precision.
    thresholds: [P] the least score that counts as yes; infinite at first.
    area:       under the curve, 0..1; NaN where undefined.
    """

    x: Tensor
    y: Tensor
    thresholds: Tensor
    area: float


class Ranking(ListMetric):
    """The area under a curve of each class, and its average over classes, 0..1.

    average: "binary" takes scores of "yes" in the shape of the target, or [B, 2, *] of which class 1 is "yes".
             The others take [B, C, *] beside labels [B, *], each class against the rest, or beside answers 0 and 1
             of their own shape, each class by itself: "micro" is one curve over all answers to all classes; "macro"
             the mean over classes, "weighted" the mean weighted by how often each class occurs, "none" all C values.
    inputs:  what `outputs` are. Scores of a class are its log-odds where they are logits, probabilities as they are.
    classes: C names, by which warnings call the classes; numbers where there are none.
    A target outside 0..C-1 raises ValueError in `compute`, when the scores leave the device.
    """

    higher_is_better: bool | None = True

    def __init__(
        self, *, average: Average = "binary", inputs: Inputs = "logits", classes: Sequence[str] | None = None
    ) -> None:
        check_inputs(inputs, allowed=("logits", "probabilities"))
        check_average(average)
        super().__init__()
        self.average: Average = average
        self.inputs = inputs
        self.classes = check_names(classes)

    items: list[tuple[Tensor, Tensor]]

    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Keeps the scores and targets of a batch. Waits for no device."""
        check_target(target)
        answered = outputs.shape == target.shape  # 0 or 1 for each score
        if self.inputs == "probabilities":
            check_probabilities(outputs, class_dimension=not answered)
        outputs, target = outputs.detach(), target.detach()
        if not answered:
            check_scores(outputs, target)
            if self.average == "binary" and outputs.shape[1] != 2:
                raise ValueError(
                    f"average='binary' needs two classes, not {outputs.shape[1]}. Choose 'macro', for instance."
                )
        elif self.average == "binary":
            self.items.append((outputs.flatten().clone(), target.flatten().clone()))
            return
        elif outputs.ndim < 2:
            raise ValueError(f"average={self.average!r} needs scores [B, C] of several classes; got one for each row.")
        rows = outputs.movedim(1, -1).reshape(-1, outputs.shape[1])  # [B, C]
        answers = target.movedim(1, -1).reshape(rows.shape) if answered else target.flatten()
        self.items.append((rows.clone(), answers.clone()))

    def compute(self) -> float | Tensor:
        curves, shares = self._curves()
        if not curves:
            return undefined(self, "no sample was seen")
        areas = torch.tensor([curve.area for curve in curves], dtype=torch.float64)
        if self.average in ONE_CURVE:
            return defined(areas[0], self, self._reason())
        return average_of(
            self,
            areas,
            shares,
            average=self.average,
            reason=self._reason(),
            classes=check_names(self.classes, len(curves)),
        )

    def curves(self) -> list[Curve]:
        """The curves behind the areas: one for "binary" and "micro", else one for each class; none without samples."""
        return self._curves()[0]

    def sync(self, processes: Processes) -> Self:
        self.items = [(scores.cpu(), answers.cpu()) for scores, answers in self.items]
        return super().sync(processes)

    @abstractmethod
    def _curve(self, scores: Tensor, answers: Tensor) -> Curve:
        """The curve of scores [N] and answers [N], true for yes."""

    @abstractmethod
    def _reason(self) -> str:
        """Why an area is undefined."""

    def _curves(self) -> tuple[list[Curve], Tensor]:
        """Curves, and how many samples answer yes to each [K]."""
        if not sum(len(scores) for scores, _ in self.items):
            return [], torch.zeros(0)
        scores, answers = self._rows()  # [N, K]
        pairs = zip(scores.unbind(1), answers.unbind(1), strict=True)
        return [self._curve(*pair) for pair in pairs], answers.sum(0).double()

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Scores, float64, and answers, bool, on the host, both [N, K]."""
        scores = torch.cat([scores.cpu() for scores, _ in self.items]).double()
        target = torch.cat([answers.cpu() for _, answers in self.items])
        one_of_many = target.shape != scores.shape
        check_range(target, num_classes=scores.shape[1] if one_of_many else 2)
        if one_of_many and self.inputs == "logits":
            scores = log_odds(scores)
        if not one_of_many:
            answers = target.bool()
        elif self.average == "binary":
            scores, answers = scores[:, 1], target.bool()
        else:
            answers = F.one_hot(target.long(), scores.shape[1]).bool()
        columns = 1 if self.average in ONE_CURVE else scores.shape[1]
        return scores.reshape(-1, columns), answers.reshape(-1, columns)


class RocAuc(Ranking):
    """Chance that a sample of the class gets a higher score than one that is not; equal scores count half."""

    def _curve(self, scores: Tensor, answers: Tensor) -> Curve:
        return roc_points(scores, answers)

    def _reason(self) -> str:
        return "either no sample is of the class, or every one is, or a score is NaN"


class AveragePrecision(Ranking):
    """Mean of the precision at each sample of the class, as ever lower scores are taken for it."""

    def _curve(self, scores: Tensor, answers: Tensor) -> Curve:
        return precision_recall_points(scores, answers)

    def _reason(self) -> str:
        return "no sample is of the class, or a score is NaN"


class CurvePoints(Ranking):
    """The points of one curve, [3, P] float64: x, y and thresholds as `Curve` has them.

    positive: the class whose curve it is, for scores of several classes; None for scores of yes or no.
    inputs:   as of `Ranking`.
    """

    higher_is_better = None

    def __init__(self, *, positive: int | None = None, inputs: Inputs = "logits") -> None:
        if positive is not None and positive < 0:
            raise ValueError(f"positive is {positive}; a class number from 0 up is needed.")
        super().__init__(average="binary" if positive is None else "none", inputs=inputs)
        self.positive = positive

    def update(self, outputs: Tensor, target: Tensor) -> None:
        if self.positive is not None and (outputs.ndim < 2 or outputs.shape[1] <= self.positive):
            raise ValueError(f"Scores {list(outputs.shape)} have no class {self.positive}; [B, C, *] are needed.")
        super().update(outputs, target)

    def compute(self) -> Tensor:
        if not sum(len(scores) for scores, _ in self.items):
            undefined(self, "no sample was seen")
            return torch.zeros(3, 0, dtype=torch.float64)
        scores, answers = self._rows()
        curve = self._curve(scores[:, self.positive or 0], answers[:, self.positive or 0])
        if math.isnan(curve.area):
            undefined(self, self._reason())
        return torch.stack([curve.x, curve.y, curve.thresholds])


class RocCurve(CurvePoints, RocAuc):
    """False positive rates, true positive rates and thresholds, from (0, 0) to (1, 1)."""


class PrecisionRecallCurve(CurvePoints, AveragePrecision):
    """Recalls, precisions and thresholds, from recall 0, whose precision is 1 by convention."""


def roc_points(scores: Tensor, answers: Tensor) -> Curve:
    """The ROC curve of scores [N] and answers [N], true for yes, with a point for each different score."""
    thresholds, right, taken = _counts(scores, answers)
    positives = int(answers.sum())
    x, y = (taken - right) / (len(answers) - positives), right / positives
    area = torch.trapezoid(y, x) if not scores.isnan().any() else torch.tensor(torch.nan)
    return Curve(x, y, thresholds, area.item())


def precision_recall_points(scores: Tensor, answers: Tensor) -> Curve:
    """The precision-recall curve of scores [N] and answers [N], true for yes, with a point for each different score."""
    thresholds, right, taken = _counts(scores, answers)
    recall = right / int(answers.sum())
    precision = torch.where(taken > 0, right / taken, 1.0)
    area = (recall.diff() * precision[1:]).sum() if not scores.isnan().any() else torch.tensor(torch.nan)
    return Curve(recall, precision, thresholds, area.item())


def log_odds(logits: Tensor) -> Tensor:
    """ln(p / (1 - p)) of the probability p of each class, [N, C], from logits [N, C].

    They rank as probabilities do, but where these round to 1 they still tell samples apart.
    """
    if logits.shape[1] == 2:
        difference = logits[:, 1] - logits[:, 0]
        return torch.stack([-difference, difference], dim=1)
    log_probs = logits.log_softmax(1)
    odds = log_probs - torch.log1p(-log_probs.exp())  # exact for p <= 1/2, hence for all but the likeliest class
    best, place = logits.max(1, keepdim=True)
    others = logits.scatter(1, place, -torch.inf).logsumexp(1, keepdim=True)
    return odds.scatter(1, place, best - others)


def _counts(scores: Tensor, answers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Different scores, highest first, after infinity; how many samples reach each, of the class and at all [P]."""
    order = scores.argsort(descending=True)
    ordered = scores[order]
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)]).nonzero().flatten()
    right = F.pad(answers[order].cumsum(0)[last], (1, 0)).double()
    return F.pad(ordered[last], (1, 0), value=torch.inf), right, F.pad(last + 1, (1, 0)).double()


def roc_auc(
    outputs: Tensor, target: Tensor, *, average: Average = "binary", inputs: Inputs = "logits"
) -> float | Tensor:
    """`RocAuc` of one batch."""
    metric = RocAuc(average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def average_precision(
    outputs: Tensor, target: Tensor, *, average: Average = "binary", inputs: Inputs = "logits"
) -> float | Tensor:
    """`AveragePrecision` of one batch."""
    metric = AveragePrecision(average=average, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def roc_curve(outputs: Tensor, target: Tensor, *, positive: int | None = None, inputs: Inputs = "logits") -> Tensor:
    """`RocCurve` of one batch."""
    metric = RocCurve(positive=positive, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()


def precision_recall_curve(
    outputs: Tensor, target: Tensor, *, positive: int | None = None, inputs: Inputs = "logits"
) -> Tensor:
    """`PrecisionRecallCurve` of one batch."""
    metric = PrecisionRecallCurve(positive=positive, inputs=inputs)
    metric.update(outputs, target)
    return metric.compute()
