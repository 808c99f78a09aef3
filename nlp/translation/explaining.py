"""Why a sequence was given: the attention of the decoder, and gradients with respect to the source's embeddings.

Source: attention as alignment from Bahdanau et al. 2014, arXiv:1409.0473, section 5.2; the gradient methods as in
  `zoo.explanation`.
Differs from the papers: nothing known.
Shapes: B sentences, S source tokens, T target tokens, D embedding, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nlp.data.padding import pad_batch
from nlp.translation.contract import Seq2SeqBatch
from nlp.translation.generation import Decoder, can_generate
from nlp.translation.pairs import IGNORED, collate_pairs
from zoo.errors import check_name
from zoo.explanation import METHODS, AttentionView, Explanation, FromLayer, TokenView, explain
from zoo.explanation.methods import InputMethod
from zoo.training import evaluation_mode

ATTENTION = "attention"


def explain_sequences(
    model: nn.Module,
    decoder: Decoder,
    texts: Sequence[str],
    *,
    method: str,
    target: Any,
    layer: Any,
    options: Mapping[str, Any] | None,
) -> Explanation:
    """Heat over source tokens: [B, T, S] for "attention", [B, S] for gradient methods, of the output's log-probability.

    target: the output to explain, one text for each of `texts` or one for all; None takes what greedy decoding gives.
    layer:  of gradient methods, the source's embedding; None finds it.
    """
    gradients = [name for name, kind in METHODS.items() if issubclass(kind, InputMethod)]
    check_name("explanation of sequences", method, [ATTENTION, *gradients])
    device = next(model.parameters()).device
    rows = _target_ids(model, decoder, texts, target)
    pairs, targets = _batch(decoder, texts, rows, device)
    sources = [decoder.tokenizers.source_tokens(text) for text in texts]
    eos = decoder.tokenizers.special.eos
    written = [["<eos>" if number == eos else decoder.tokens([number])[0] for number in row] for row in rows]
    names = [decoder.tokenizers.target.decode([number for number in row if number != eos]) for row in rows]
    if method == ATTENTION:
        if layer is not None or options:
            raise ValueError("Attention takes neither a layer nor options.")
        weights = attention_of(model, pairs, targets)
        return Explanation(
            inputs=pairs.source, heat=weights, raw=weights, method=method, signed=False, labels=names,
            view=AttentionView(sources=sources, outputs=written),
        )  # fmt: skip

    def log_probability(output: Any) -> Tensor:
        logits = getattr(output, "logits", output)
        scores = logits.float().log_softmax(dim=2).gather(2, targets.clamp(min=0)[..., None])[..., 0]  # [B, T]
        return scores.masked_fill(targets == IGNORED, 0).sum(dim=1)

    with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have no backward in evaluation mode
        seen = FromLayer(model, layer or _embedding(model), _call(model, pairs, targets), channels_last=True)
        found = explain(
            seen, seen.values, method=method, target_function=log_probability, labels=names, options=options,
            view=TokenView(tokens=sources),
        )  # fmt: skip
    return found


@torch.no_grad()
def attention_of(model: nn.Module, pairs: Seq2SeqBatch, targets: Tensor) -> Tensor:
    """What each target place reads of the source, [B, T, S]; of transformers' models the mean over the last layer.

    Raises: ValueError for a model that shows no attention.
    """
    with evaluation_mode(model):
        own = getattr(model, "attention_weights", None)
        if callable(own):
            weights: Tensor = own(pairs)
            return weights.float()
        if can_generate(model):
            with _showing_weights(model):
                output = model(**_call(model, pairs, targets), output_attentions=True)
            layers = getattr(output, "cross_attentions", None)
            if layers and layers[-1] is not None:
                return layers[-1].float().mean(dim=1)  # type: ignore[no-any-return]
    raise ValueError(f"{type(model).__name__} has no attention to look at; use method='integrated_gradients'.")


@contextmanager
def _showing_weights(model: Any) -> Iterator[None]:
    """Inside, a model of transformers computes attention by the one implementation that keeps its weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _target_ids(model: nn.Module, decoder: Decoder, texts: Sequence[str], target: Any) -> list[list[int]]:
    """The output of each text that is to be explained, with <eos> if it came to its end."""
    if target is None:
        with evaluation_mode(model):
            found = decoder.decode_texts(model, texts, beam_size=1)
        eos = decoder.tokenizers.special.eos
        return [[*hypothesis.tokens, *([eos] if hypothesis.ended else [])] for hypothesis in found]
    wanted = [target] * len(texts) if isinstance(target, str) else list(target)
    if len(wanted) != len(texts) or not all(isinstance(text, str) for text in wanted):
        raise ValueError(f"target must be one text, or one for each of the {len(texts)} inputs; got {target!r}.")
    return [decoder.tokenizers.target_ids(text) for text in wanted]


def _batch(
    decoder: Decoder, texts: Sequence[str], rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[Seq2SeqBatch, Tensor]:
    sources = [torch.tensor(decoder.tokenizers.source_ids(text)) for text in texts]
    targets = [torch.tensor(row) for row in rows]
    pairs = collate_pairs(decoder.tokenizers, sources, targets)
    return Seq2SeqBatch(*(part.to(device) for part in pairs)), pad_batch(targets, IGNORED)[0].to(device)


def _call(model: nn.Module, pairs: Seq2SeqBatch, targets: Tensor) -> Any:
    """What the model is called with: by name for transformers' models."""
    if can_generate(model):
        return {"input_ids": pairs.source, "attention_mask": pairs.source_mask.long(), "labels": targets}
    return pairs


def _embedding(model: nn.Module) -> str | nn.Module:
    """The layer that embeds the source."""
    if not can_generate(model):
        return "source_embedding"
    encoder: Any = model.get_encoder()  # type: ignore[operator]
    found: nn.Module = encoder.get_input_embeddings()
    return found
