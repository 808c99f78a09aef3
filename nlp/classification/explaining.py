"""Why a classifier of texts answers so: heat over its tokens.

Shapes: B texts, T tokens of the longest, D features, C classes.
"""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import check_name
from zoo.explanation import METHODS, Explanation, FromLayer, explain
from zoo.explanation.methods import InputMethod
from zoo.explanation.views import AttentionView, TokenView
from zoo.training import evaluation_mode

ATTENTION = "attention"
GRADIENTS = tuple(name for name, method in METHODS.items() if issubclass(method, InputMethod))


def explain_tokens(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    tokens: Sequence[Sequence[str]],
    *,
    method: str,
    pad: int,
    target: Any = None,
    labels: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Explanation:
    """Heat [B, T] over the tokens by a gradient method, or attention as the model gives it.

    Gradients are those of the tokens' vectors, and a text of padding alone is the baseline of integrated gradients.

    inputs:  input_ids and attention_mask, [B, T], on the model's device.
    tokens:  of each text, as they are drawn.
    method:  a gradient method, or "attention": [B, T] of attention pooling, [B, T, T] of a transformer's last layer,
             the mean over its heads.
    Raises:  UnknownNameError; ValueError for attention of a model that has none.
    """
    check_name("explanation method for texts", method, (*GRADIENTS, ATTENTION))
    if method == ATTENTION:
        return _attention(model, inputs, tokens, target=target, labels=labels, options=options)
    embedding = token_embedding(model)
    chosen = dict(options or {})
    if method == "integrated_gradients":
        chosen.setdefault("baseline", embedding.weight[pad].detach()[None, :, None])  # [1, D, 1]
    # cuDNN's recurrent layers have no backward pass in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False):
        view_from = FromLayer(model, embedding, dict(inputs), channels_last=True)
        return explain(
            view_from, view_from.values, method=method, target=target, labels=labels, options=chosen,
            view=TokenView(tokens=tokens),
        )  # fmt: skip


def token_embedding(model: nn.Module) -> nn.Embedding:
    """The layer that turns token numbers into vectors: as transformers' models say, else the model's `embedding`.

    Raises: TypeError if there is none.
    """
    ask = getattr(model, "get_input_embeddings", None)
    found = ask() if callable(ask) else getattr(model, "embedding", None)
    if not isinstance(found, nn.Embedding):
        raise TypeError(
            f"{type(model).__name__} does not say which layer turns tokens into vectors: give it an attribute "
            "`embedding`, an nn.Embedding."
        )
    return found


def _attention(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    tokens: Sequence[Sequence[str]],
    *,
    target: Any,
    labels: Sequence[str] | None,
    options: Mapping[str, Any] | None,
) -> Explanation:
    if options or target is not None:
        raise ValueError("Attention is the same for every class and has no options: leave target and options out.")
    with torch.no_grad(), evaluation_mode(model):
        if hasattr(model, "attention_weights"):
            logits = model(**inputs)
            weigh: Any = model.attention_weights
            heat = raw = weigh(**inputs)  # [B, T]
        else:
            logits, raw = _transformer_attention(model, inputs)  # [B, heads, T, T]
            heat = raw.mean(1)
    view = TokenView(tokens=tokens) if heat.ndim == 2 else AttentionView(sources=tokens, outputs=tokens)
    return Explanation(
        inputs=inputs["input_ids"], heat=heat.float(), raw=raw, method=ATTENTION, signed=False,
        target=logits.argmax(1), logits=logits, labels=labels, view=view,
    )  # fmt: skip


def _transformer_attention(model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits, and the attention of the last layer [B, heads, T, T].

    From a copy: transformers leaves its hooks in a model that was asked for its attention once.
    """
    if not callable(getattr(model, "set_attn_implementation", None)) or "output_attentions" not in _arguments(model):
        raise ValueError(
            f"{type(model).__name__} has no attention to show; the methods for it are {', '.join(GRADIENTS)}."
        )
    twin: Any = copy.deepcopy(model)
    twin.set_attn_implementation("eager")  # the only one that keeps the weights
    output = twin(**inputs, output_attentions=True)
    return output.logits, output.attentions[-1]


def _arguments(model: nn.Module) -> set[str]:
    """The names that the model's call takes, its own and those that transformers hands on by **kwargs."""
    parameters = inspect.signature(model.forward).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {*parameters, *(("output_attentions",) if takes_any else ())}
