"""Published word vectors, from their text files.

Source: the format of GloVe (Pennington et al. 2014, doi:10.3115/v1/D14-1162) and, with a first line of two counts, of
word2vec and fastText.
"""

import logging
from collections.abc import Collection
from os import PathLike

import numpy as np
import torch
from torch import Tensor

from zoo.errors import WeightsError

logger = logging.getLogger(__name__)


def read_vectors(path: str | PathLike[str], words: Collection[str], *, num_features: int) -> dict[str, Tensor]:
    """The vectors [D] of those `words` that a text file holds, a word and D numbers a line.

    Words that are in the file in lower case only get that vector.
    Raises: WeightsError for a file that cannot be read, vectors of another length, or none of the words.
    """
    wanted = set(words)
    lowered = {word.lower(): word for word in words if word.lower() not in wanted}
    found: dict[str, Tensor] = {}
    try:
        with open(path, encoding="utf-8") as file:
            length = None
            for number, line in enumerate(file, 1):
                cells = line.rstrip().split(" ")
                if number == 1 and len(cells) == 2:
                    continue  # word2vec's and fastText's counts
                length = length or len(cells) - 1
                if length != num_features:
                    raise WeightsError(
                        f"{path} has vectors of {length} numbers, and the model's have {num_features}. "
                        f"Build the model with embedding_dim={length}."
                    )
                word = " ".join(cells[:-length])  # a few of GloVe's words hold spaces
                name = word if word in wanted else lowered.get(word)
                if name is not None:
                    found[name] = torch.from_numpy(np.array(cells[-length:], dtype=np.float32))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"The vectors {path} cannot be read: {error}. Give a text file such as GloVe's.") from error
    except ValueError as error:
        raise WeightsError(f"{path}, line {number} holds what is no number: {error}") from error
    if not found:
        raise WeightsError(f"{path} has a vector for none of the {len(words)} tokens of the vocabulary.")
    logger.info("%s: vectors for %d of %d tokens", path, len(found), len(words))
    return found
