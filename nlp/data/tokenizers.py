"""From a text to token numbers and back, by five kinds of tokenizer.

Source: Sennrich et al. 2016, arXiv:1508.07909 (byte pair encoding; on bytes as Radford et al. 2019 do);
Wu et al. 2016, arXiv:1609.08144 (WordPiece, as Devlin et al. 2018, arXiv:1810.04805, prepare texts for it).
Differs from the papers: WordPiece is trained by the frequency of pairs, not by likelihood.
"""

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from nlp.data.vocabulary import BEGIN, END, PAD, SPECIAL, UNKNOWN, Vocabulary
from zoo.errors import DataError, check_name
from zoo.lookup import check_arguments

WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
"""A word, with apostrophes inside it, or one mark."""

FRONT = "\u2581"  # stands before a word while pieces are learned


class Tokenizer(ABC):
    """Texts to token numbers and back.

    pad, unk, bos, eos: numbers of the special tokens; None where a tokenizer of transformers has none.
    """

    name: ClassVar[str]
    pad: int = PAD
    unk: int | None = UNKNOWN
    bos: int | None = BEGIN
    eos: int | None = END

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many token numbers there are, special ones included."""

    @abstractmethod
    def encode(self, text: str, *, max_length: int | None = None) -> list[int]:
        """The token numbers of a text, without <bos> and <eos>; a tokenizer of transformers adds its own special ones.

        max_length: most tokens, special ones included; what comes after is cut off.
        """

    @abstractmethod
    def tokens(self, text: str, *, max_length: int | None = None) -> list[str]:
        """What `encode` gives, as readable text: one for each number."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of token numbers; <pad>, <bos> and <eos> are left out."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """JSON-able arguments of the constructor."""

    def encode_all(self, texts: Sequence[str], *, max_length: int | None = None) -> list[list[int]]:
        """`encode` for each of many texts, where a tokenizer can faster."""
        return [self.encode(text, max_length=max_length) for text in texts]

    def to_dict(self) -> dict[str, Any]:
        """All that rebuilds this tokenizer, fit for JSON; `tokenizer_from_dict` reads it."""
        return {"name": self.name, **self.state()}


class VocabularyTokenizer(Tokenizer):
    """A tokenizer that splits by a rule and numbers the pieces."""

    separator: ClassVar[str]

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The pieces of a text."""

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str, *, max_length: int | None = None) -> list[int]:
        return [self.vocabulary.number(token) for token in self.split(text)[:max_length]]

    def tokens(self, text: str, *, max_length: int | None = None) -> list[str]:
        return self.split(text)[:max_length]

    def decode(self, ids: Sequence[int]) -> str:
        known = self.vocabulary.tokens
        return self.separator.join(known[number] for number in map(int, ids) if number not in (PAD, BEGIN, END))


class CharacterTokenizer(VocabularyTokenizer):
    """Each character is a token. Decoding an encoded text gives it back where all its characters are known."""

    name = "character"
    separator = ""

    def __init__(self, *, vocabulary: Sequence[str]) -> None:
        super().__init__(Vocabulary(vocabulary))

    @classmethod
    def train(
        cls, texts: Iterable[str], *, min_frequency: int = 1, max_size: int | None = None
    ) -> "CharacterTokenizer":
        """The characters of `texts`; arguments as `Vocabulary.count`."""
        counted = Vocabulary.count(texts, min_frequency=min_frequency, max_size=max_size)
        return cls(vocabulary=counted.tokens[len(SPECIAL) :])

    def split(self, text: str) -> list[str]:
        return list(text)

    def state(self) -> dict[str, Any]:
        return {"vocabulary": list(self.vocabulary.tokens[len(SPECIAL) :])}


class WhitespaceTokenizer(VocabularyTokenizer):
    """Each word and each punctuation mark is a token; apostrophes inside a word belong to it.

    Decoding puts a space between all tokens.

    lowercase: whether upper and lower case are the same.
    """

    name = "whitespace"
    separator = " "

    def __init__(self, *, vocabulary: Sequence[str], lowercase: bool = True) -> None:
        super().__init__(Vocabulary(vocabulary))
        self.lowercase = lowercase

    @classmethod
    def train(
        cls, texts: Iterable[str], *, lowercase: bool = True, min_frequency: int = 1, max_size: int | None = None
    ) -> "WhitespaceTokenizer":
        """The words of `texts`; arguments as `Vocabulary.count`."""
        rows = (_words(text, lowercase) for text in texts)
        counted = Vocabulary.count(rows, min_frequency=min_frequency, max_size=max_size)
        return cls(vocabulary=counted.tokens[len(SPECIAL) :], lowercase=lowercase)

    def split(self, text: str) -> list[str]:
        return _words(text, self.lowercase)

    def state(self) -> dict[str, Any]:
        return {"vocabulary": list(self.vocabulary.tokens[len(SPECIAL) :]), "lowercase": self.lowercase}


class SubwordTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` library, kept as that library's JSON text."""

    def __init__(self, *, json: str) -> None:
        from tokenizers import Tokenizer as Library

        self._library = Library.from_str(json)
        self._library.encode_special_tokens = True  # "<pad>" in a text is text

    @property
    def vocab_size(self) -> int:
        return self._library.get_vocab_size()

    def encode(self, text: str, *, max_length: int | None = None) -> list[int]:
        return self._library.encode(text, add_special_tokens=False).ids[:max_length]

    def encode_all(self, texts: Sequence[str], *, max_length: int | None = None) -> list[list[int]]:
        rows = self._library.encode_batch(list(texts), add_special_tokens=False)
        return [row.ids[:max_length] for row in rows]

    def tokens(self, text: str, *, max_length: int | None = None) -> list[str]:
        return self._library.encode(text, add_special_tokens=False).tokens[:max_length]

    def decode(self, ids: Sequence[int]) -> str:
        kept = [number for number in map(int, ids) if number not in (PAD, BEGIN, END)]
        return self._library.decode(kept, skip_special_tokens=False)

    def state(self) -> dict[str, Any]:
        return {"json": self._library.to_str()}


class BytePairTokenizer(SubwordTokenizer):
    """Byte pair encoding on the bytes of the text: nothing is unknown, and decoding gives the text back."""

    name = "bpe"

    @classmethod
    def train(
        cls, texts: Iterable[str], *, vocab_size: int = 8000, min_frequency: int = 2, lowercase: bool = False
    ) -> "BytePairTokenizer":
        """Merges the most frequent pairs in `texts` until there are `vocab_size` tokens.

        vocab_size:    special tokens and the 256 bytes included.
        min_frequency: pairs that are rarer are not merged.
        """
        from tokenizers import Tokenizer as Library
        from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

        smallest = len(SPECIAL) + 256
        if vocab_size < smallest:
            raise ValueError(f"bpe needs a vocab_size of {smallest} or more, for the bytes alone; got {vocab_size}.")
        library = Library(models.BPE())
        if lowercase:
            library.normalizer = normalizers.Lowercase()
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        library.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        return cls(json=_trained(library, texts, trainer))

    def tokens(self, text: str, *, max_length: int | None = None) -> list[str]:
        """The part of the text that each token stands for; one that is a part of a character shows all of it."""
        found = self._library.encode(text, add_special_tokens=False)
        return [text[first:end] for first, end in found.offsets][:max_length]


class WordPieceTokenizer(SubwordTokenizer):
    """Words in pieces; "##" marks one that goes on a word. Texts are prepared as for BERT."""

    name = "wordpiece"

    @classmethod
    def train(
        cls, texts: Iterable[str], *, vocab_size: int = 8000, min_frequency: int = 2, lowercase: bool = True
    ) -> "WordPieceTokenizer":
        """Merges frequent pieces in `texts` until there are `vocab_size` tokens; as `BytePairTokenizer.train`.

        The pieces are learned as those of byte pair encoding, with a sign in front of each word: the library's own
        trainer for "##" numbers pieces by chance, and a run that reads its data again must find the same tokens.
        """
        from tokenizers import Tokenizer as Library
        from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

        normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        words = pre_tokenizers.BertPreTokenizer()
        learner = Library(models.BPE())
        learner.normalizer = normalizer
        learner.pre_tokenizer = pre_tokenizers.Sequence(
            [words, pre_tokenizers.Metaspace(replacement=FRONT, prepend_scheme="always", split=False)]
        )
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=min_frequency, show_progress=False)
        learner.train_from_iterator(list(texts), trainer=trainer)
        pieces = _pieces(learner.get_vocab())
        if not pieces:
            raise DataError("The vocabulary is empty: there are no words in the texts.")
        numbers = {piece: number for number, piece in enumerate([*SPECIAL, *pieces][:vocab_size])}
        library = Library(models.WordPiece(numbers, unk_token=SPECIAL[UNKNOWN]))
        library.normalizer, library.pre_tokenizer = normalizer, words
        library.decoder = decoders.WordPiece()
        library.add_special_tokens(list(SPECIAL))
        return cls(json=library.to_str())


class HfTokenizer(Tokenizer):
    """A tokenizer of transformers, with the special tokens that its models were trained with.

    reference: folder, "package:import_name/path" for one inside an installed package, or name on the hub.
    digest:    of its vocabulary when a run was made; another one is refused.
    Raises:    DataError if it cannot be read, has no padding token, or is another one by now.
    """

    name = "hf"

    def __init__(self, *, reference: str, digest: str | None = None) -> None:
        from transformers import AutoTokenizer

        from zoo.backends.hf_config import installed_folder
        from zoo.weights import is_offline

        try:
            self._library = AutoTokenizer.from_pretrained(
                installed_folder(reference), local_files_only=is_offline(None), trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise DataError(
                f"The tokenizer {reference} cannot be read: {' '.join(str(error).split())[:300]} Expected a folder "
                "with tokenizer.json, 'package:import_name/path', or the name of a repository that is reachable."
            ) from error
        if self._library.pad_token_id is None:
            raise DataError(f"The tokenizer {reference} has no padding token, so texts of it make no batch.")
        self.reference = reference
        self.pad, self.unk = self._library.pad_token_id, self._library.unk_token_id
        self.bos = _first(self._library.bos_token_id, self._library.cls_token_id)
        self.eos = _first(self._library.eos_token_id, self._library.sep_token_id)
        vocabulary = sorted(self._library.get_vocab().items())
        self.digest = hashlib.sha256(repr(vocabulary).encode()).hexdigest()
        if digest is not None and digest != self.digest:
            raise DataError(
                f"The tokenizer {reference} is not the one of this run: its vocabulary has changed. Put the old one "
                "back, or train again."
            )

    @classmethod
    def train(cls, texts: Iterable[str], *, reference: str) -> "HfTokenizer":
        """The tokenizer as it is: `texts` are not looked at."""
        return cls(reference=reference)

    @property
    def vocab_size(self) -> int:
        return len(self._library)

    def encode(self, text: str, *, max_length: int | None = None) -> list[int]:
        return self.encode_all([text], max_length=max_length)[0]

    def encode_all(self, texts: Sequence[str], *, max_length: int | None = None) -> list[list[int]]:
        length = {} if max_length is None else {"truncation": True, "max_length": max_length}
        return self._library(list(texts), verbose=False, **length)["input_ids"]

    def tokens(self, text: str, *, max_length: int | None = None) -> list[str]:
        tokens = self._library.convert_ids_to_tokens(self.encode(text, max_length=max_length))
        return [self._library.convert_tokens_to_string([token]) or token for token in tokens]  # bytes as characters

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._library.decode(list(map(int, ids)), skip_special_tokens=True))

    def state(self) -> dict[str, Any]:
        return {"reference": self.reference, "digest": self.digest}


TOKENIZERS: dict[str, Any] = {
    kind.name: kind
    for kind in (CharacterTokenizer, WhitespaceTokenizer, BytePairTokenizer, WordPieceTokenizer, HfTokenizer)
}


def train_tokenizer(name: str, texts: Iterable[str], **options: Any) -> Tokenizer:
    """The tokenizer called `name`, with the vocabulary of `texts`; `options` as its `train` takes them.

    Raises: UnknownNameError, UnknownArgumentError with the nearest names.
    """
    check_tokenizer(name, options)
    return TOKENIZERS[name].train(texts, **options)


def check_tokenizer(name: str, options: Mapping[str, Any]) -> None:
    """Raises UnknownNameError or UnknownArgumentError for what `train_tokenizer` would not take."""
    check_name("tokenizer", name, TOKENIZERS)
    train: Callable[..., Tokenizer] = TOKENIZERS[name].train
    check_arguments(f"The tokenizer {name!r}", train, options)


def tokenizer_from_dict(state: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that gave `state` by its `to_dict()`."""
    arguments = dict(state)
    name = str(arguments.pop("name", ""))
    check_name("tokenizer", name, TOKENIZERS)
    return TOKENIZERS[name](**arguments)


def _words(text: str, lowercase: bool) -> list[str]:
    text = unicodedata.normalize("NFC", text)
    return WORD.findall(text.lower() if lowercase else text)


def _pieces(learned: Mapping[str, int]) -> list[str]:
    """Pieces of words with FRONT where a word begins to pieces with "##" where it does not, single characters first."""
    ordered = sorted(learned, key=lambda piece: learned[piece])
    characters = [piece for piece in ordered if len(piece) == 1 and piece != FRONT]
    merged = [piece for piece in ordered if len(piece.lstrip(FRONT)) > 1]
    whole = [piece[1:] if piece.startswith(FRONT) else f"##{piece}" for piece in merged]
    return list(dict.fromkeys([*characters, *(f"##{character}" for character in characters), *whole]))


def _trained(library: Any, texts: Iterable[str], trainer: Any) -> str:
    """The library's tokenizer after training, as its JSON text."""
    library.train_from_iterator(list(texts), trainer=trainer)
    return library.to_str()


def _first(*numbers: int | None) -> int | None:
    return next((number for number in numbers if number is not None), None)
