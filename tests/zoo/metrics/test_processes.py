"""Two real processes over gloo, with unequal shares of the rows, agree with one that has them all."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import torch
from torch import distributed
from zoo.metrics import make_metric

torch.set_num_threads(1)
rank, meeting, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)


class Gloo:
    def sum(self, value):
        distributed.all_reduce(value)
        return value

    def gather_objects(self, value):
        found = [None, None]
        distributed.all_gather_object(found, value)
        return found


generator = torch.Generator().manual_seed(0)
rows, classes = 37, 4
target = torch.randint(classes, (rows,), generator=generator)
logits = torch.randn(rows, classes, generator=generator) + torch.nn.functional.one_hot(target, classes)
values = torch.randn(rows, generator=generator) + 3
images = torch.rand(rows, 1, 12, 12, generator=generator)
words = [" ".join("abcdefg"[int(word)] for word in torch.randint(7, (6,), generator=generator)) for _ in range(rows)]
wrong = [text.replace("a", "b") for text in words]
several, of_classes = {"average": "macro"}, (logits, target)
cases = {
    "roc_auc": (several, *of_classes), "average_precision": (several, *of_classes),
    "roc_curve": ({"positive": 2}, *of_classes), "precision_recall_curve": ({}, values, target > 1),
    "calibration_error": ({}, *of_classes), "accuracy_thresh": ({}, values - 3, target > 1),
    "mse": ({}, values + 0.1, values), "rmspe": ({}, values + 0.1, values),
    "psnr": ({"data_range": 1.0}, images.sqrt(), images), "ssim": ({"data_range": 1.0}, images.sqrt(), images),
    "token_loss": ({}, *of_classes), "perplexity": ({}, *of_classes),
    "bleu": ({}, wrong, words), "chrf": ({}, wrong, words), "wer": ({}, wrong, words), "cer": ({}, wrong, words),
    "fid": ({"num_features": 4}, logits, logits * 2), "f1": ({"num_classes": classes}, *of_classes),
}
found = []
for first in (29, rows):  # the second process has the other eight rows, then none
    mine = range(first) if rank == 0 else range(first, rows)
    for name, (options, outputs, right) in cases.items():
        alone, together = make_metric(name, **options), make_metric(name, **options)
        alone.update(outputs, right)
        for batch in (mine[:5], mine[5:]):
            if batch:
                part = slice(batch.start, batch.stop)
                together.update(outputs[part], right[part])
        pair = [torch.as_tensor(metric.compute()).tolist() for metric in (alone, together.sync(Gloo()))]
        found.append([f"{name} {first}", *pair])
with open(out, "w") as file:
    json.dump(found, file)
"""


def test_processes_agree_with_one(tmp_path):
    """Fails if a process judges its own rows, values are averaged over processes, or one without rows breaks off."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    jobs = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "meeting"), str(tmp_path / f"{rank}.json")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [job.communicate(timeout=200)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], errors[0][-2000:] + errors[1][-2000:]
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert len(found) == 36
        for name, alone, together in found:
            same = alone if isinstance(alone, list) else pytest.approx(alone, rel=1e-6, abs=1e-9)
            assert together == same, name
