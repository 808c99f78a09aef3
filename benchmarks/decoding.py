"""Beam search over a batch of sentences, against loops: over sentences, and over their hypotheses too without a cache.

All give the same sentences, but for ties within rounding, which is counted; the contestants take turns and the median
counts. The model has random weights. Without --threads torch takes all cores, as it does for users, and the wall clock
is read: the machine should be idle. --threads 1 reads the CPU seconds of the process, which other work disturbs less.
Run: python -P benchmarks/decoding.py   (--model seq2seq_bahdanau for a recurrent one)
"""

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from nlp.translation.beam import beam_search
from nlp.translation.contract import Seq2SeqBatch
from nlp.translation.decoding import Special

SPECIAL = Special(bos=2, eos=3, never=(0, 2))
ALPHA = 0.6


def one_by_one(model: nn.Module, source: Tensor, mask: Tensor, *, beam_size: int, max_length: int) -> list[list[int]]:
    """The plain form: for each sentence and hypothesis the whole target through the model at every step."""
    results = []
    for row in range(len(source)):
        length = int(mask[row].sum())
        own, own_mask = source[row : row + 1, :length], mask[row : row + 1, :length]
        running: list[tuple[list[int], float]] = [([], 0.0)]
        finished: list[tuple[list[int], float]] = []
        for place in range(1, max_length + 1):
            longer = []
            for tokens, total in running:
                target = torch.tensor([[SPECIAL.bos, *tokens]])
                logits = model(Seq2SeqBatch(own, own_mask, target, torch.ones_like(target, dtype=torch.bool)))
                scores = logits[0, -1].log_softmax(0)
                scores[list(SPECIAL.never)] = -torch.inf
                best = scores.topk(2 * beam_size)
                found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
                longer += [([*tokens, token], total + value) for token, value in found]
            longer = sorted(longer, key=lambda pair: -pair[1])[: 2 * beam_size]
            penalty = ((5 + place) / 6) ** ALPHA
            finished += [(tokens[:-1], total / penalty) for tokens, total in longer if tokens[-1] == SPECIAL.eos]
            running = [pair for pair in longer if pair[0][-1] != SPECIAL.eos][:beam_size]
        results.append(max(finished, key=lambda pair: pair[1])[0] if finished else running[0][0])
    return results


def batched(model: Any, source: Tensor, mask: Tensor, *, beam_size: int, max_length: int) -> list[list[int]]:
    """All sentences and hypotheses in one pass at every step, keys and values kept."""
    found = beam_search(model, source, mask, special=SPECIAL, max_length=max_length, beam_size=beam_size, alpha=ALPHA)
    return [list(best.tokens) for (best,) in found]


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="transformer_multi30k")
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--length", type=int, default=20, help="tokens decoded for each sentence")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch; its own choice if not given")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    model = zoo.create_model(arguments.model).eval()
    lengths = torch.randint(6, 19, (arguments.sentences,))
    source = torch.randint(4, 5000, (arguments.sentences, 18))
    mask = torch.arange(18) < lengths[:, None]
    sizes = {"beam_size": arguments.beam_size, "max_length": arguments.length}
    seconds: dict[str, list[float]] = {"batched": [], "sentence by sentence": [], "no cache": []}
    results: dict[str, list[list[int]]] = {}
    with torch.no_grad():
        batched(model, source, mask, **sizes)  # the first time finds memory and kernels, which is not what is measured
        for _ in range(arguments.rounds):
            for name, taken in seconds.items():
                start = clock()
                if name == "batched":
                    results[name] = batched(model, source, mask, **sizes)
                elif name == "no cache":
                    results[name] = one_by_one(model, source, mask, **sizes)
                else:
                    rows = [
                        (source[row : row + 1, :size], mask[row : row + 1, :size]) for row, size in enumerate(lengths)
                    ]
                    results[name] = [batched(model, *pair, **sizes)[0] for pair in rows]
                taken.append(clock() - start)
    quick = statistics.median(seconds.pop("batched"))
    print(
        f"{arguments.model}: {len(source)} sentences, beam {arguments.beam_size}, {arguments.length} tokens, "
        f"threads {torch.get_num_threads()}"
    )
    print(f"  batched: {quick:.2f} s")
    for name, taken in seconds.items():
        slow = statistics.median(taken)
        same = sum(one == other for one, other in zip(results[name], results["batched"], strict=True))
        print(f"  {name}: {slow:.2f} s, {slow / quick:.1f}x (5x is wanted); {same} of {len(source)} results the same")


if __name__ == "__main__":
    main()
