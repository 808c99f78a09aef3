"""Learns to translate from files of sentence pairs: a folder with train.de and train.en, val.* and test.*.

The Multi30k data have this layout: https://github.com/multi30k/dataset (captions of pictures, German and English).
Run: python -m nlp.examples.translate --data multi30k/   (--quick for a few minutes on a small part)
"""

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.scripts import plain_errors
from zoo.training import train

# -- BLEU on the test part of 2016, de to en; measured by others, on words of spaCy's tokenizer in lower case.
PUBLISHED = """published for Multi30k de-en, test 2016, by bentrevett's pytorch-seq2seq tutorials, to compare with:
    GRU with attention, 20.5 M parameters    28.11 BLEU
    Transformer, 9.0 M parameters            36.52 BLEU"""
SHOWN = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of sentence pairs, or a .tsv table")
    parser.add_argument("--source", help="ending of the source's files, such as de; else the first in the alphabet")
    parser.add_argument("--target", help="ending of the target's files, such as en")
    parser.add_argument("--model", default="transformer_multi30k", help="of `zoo list --task nlp/translation`")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training pairs")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    parser.add_argument("--quick", action="store_true", help="60 steps of a smaller model, to see that all works")
    arguments = parser.parse_args()
    small = {"width": 64, "num_layers": 1, "hidden": 128} if arguments.model.startswith("transformer") else {}
    with plain_errors():
        run = train(
            arguments.model, arguments.data, out=arguments.out, epochs=1 if arguments.quick else arguments.epochs,
            max_steps=60 if arguments.quick else None, model_options=small if arguments.quick else None,
            data_options={"source": arguments.source, "target": arguments.target},
        )  # fmt: skip
    held_out: Any = run.bundle.test or run.bundle.validation or run.bundle.train
    texts = held_out.dataset.texts[:SHOWN]
    for row, (text, found) in enumerate(zip(texts, run.predict(texts), strict=True)):
        print(f"  {text}\n    {found['text']}\n    right: {held_out[row][2][0]}")
    name = "test" if "test" in run.results else "validation"
    print(f"measured here: {name} BLEU {run.results[name]['bleu']:.2f}, greedy decoding; run in {run.directory}")
    print(PUBLISHED)


if __name__ == "__main__":
    main()
