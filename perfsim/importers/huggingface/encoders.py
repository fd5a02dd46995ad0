"""Families with an encoder: bert and its relatives, t5, bart, whisper."""

from __future__ import annotations

from collections.abc import Callable

from perfsim.architectures import (
    AudioFront,
    EncoderDecoderModel,
    EncoderModel,
    FullAttention,
    Mlp,
    Normalisation,
    Stack,
    TokenFront,
)
from perfsim.importers.huggingface.config import Config
from perfsim.importers.huggingface.parts import facts, head_size

__all__ = ["FAMILIES"]

_BIASED = ("query", "key", "value", "output")


def bert(c: Config, name: str) -> EncoderModel:
    """bert, roberta and xlm-roberta (two position rows more than positions): norms behind the branches, a pooler."""
    hidden, heads = c.number("hidden_size"), c.number("num_attention_heads")
    c.used.update(("position_embedding_type", "add_cross_attention", "is_decoder", "num_hidden_groups"))
    positions = c.number("max_position_embeddings")
    attention = FullAttention(heads, head_size(c, hidden, heads), _BIASED)
    mlp = Mlp(c.number("intermediate_size"), c.function("hidden_act", default="gelu"), False, True)
    front = TokenFront(
        hidden, c.number("vocab_size"), positions, c.number("type_vocab_size", default=2, least=0), norm=True
    )
    stack = Stack(c.number("num_hidden_layers"), attention, mlp, Normalisation(first=False))
    limit = positions if c.model_type == "bert" else positions - 2
    return EncoderModel(name, front, stack, **{**facts(c), "context_limit": limit})


def distilbert(c: Config, name: str) -> EncoderModel:
    """distilbert: bert with half of the layers, neither segments nor a pooler."""
    hidden, heads = c.number("dim"), c.number("n_heads")
    c.used.update(("sinusoidal_pos_embds", "qa_dropout", "seq_classif_dropout", "tie_weights_"))
    attention = FullAttention(heads, head_size(c, hidden, heads), _BIASED)
    mlp = Mlp(c.number("hidden_dim"), c.function("activation", default="gelu"), False, True)
    front = TokenFront(hidden, c.number("vocab_size"), c.number("max_position_embeddings"), norm=True)
    stack = Stack(c.number("n_layers"), attention, mlp, Normalisation(first=False))
    return EncoderModel(name, front, stack, False, **facts(c))


def t5(c: Config, name: str) -> EncoderDecoderModel:
    """t5 (with flan-t5 and its gated blocks): RMS norms, no biases, a table of relative positions per stack."""
    hidden, heads, head_dim = c.number("d_model"), c.number("num_heads"), c.number("d_kv")
    c.used.update((
        "is_encoder_decoder", "is_gated_act", "dense_act_fn", "relative_attention_max_distance", "output_past",
        "dropout_rate", "n_positions", "feed_forward_proj", "classifier_dropout", "scalable_attention",
    ))  # fmt: skip
    projection = c.table.get("feed_forward_proj", "relu")
    if projection not in ("relu", "gated-gelu", "gated-silu", "gelu"):
        raise c.fail("feed_forward_proj", f"is {projection!r}, expected relu, gelu, gated-gelu or gated-silu")
    mlp = Mlp(c.number("d_ff"), projection.rpartition("-")[2], projection.startswith("gated"))
    attention, norm = FullAttention(heads, head_dim), Normalisation("rmsnorm", False)
    buckets = c.number("relative_attention_num_buckets", default=32)
    layers = c.number("num_layers")
    front = TokenFront(hidden, c.number("vocab_size"))
    return EncoderDecoderModel(
        name, front, front, Stack(layers, attention, mlp, norm, buckets),
        Stack(c.number("num_decoder_layers", default=layers), attention, mlp, norm, buckets),
        tied=c.flag("tie_word_embeddings", default=True), **{**facts(c), "context_limit": None},
    )  # fmt: skip


def _two_stacks(c: Config, biases: tuple[str, ...], norm: Normalisation) -> tuple[Stack, Stack]:
    """Encoder and decoder of the keys that bart and whisper share."""
    c.used.update((
        "encoder_layerdrop", "decoder_layerdrop", "activation_dropout", "is_encoder_decoder", "num_hidden_layers",
        "scale_embedding", "forced_eos_token_id", "forced_bos_token_id", "normalize_before", "add_final_layer_norm",
        "normalize_embedding", "add_bias_logits", "static_position_embeddings", "extra_pos_embeddings",
        "early_stopping", "no_repeat_ngram_size", "num_beams", "max_length", "length_penalty", "min_length",
        "max_source_positions", "begin_suppress_tokens", "suppress_tokens", "forced_decoder_ids", "apply_spec_augment",
        "mask_feature_length", "mask_feature_min_masks", "mask_feature_prob", "mask_time_length", "mask_time_min_masks",
        "mask_time_prob", "median_filter_width", "use_weighted_layer_sum", "classifier_proj_size", "alignment_heads",
        "classif_dropout",
    ))  # fmt: skip
    hidden = c.number("d_model")
    function = c.function("activation_function", default="gelu")
    first, second = (
        Stack(
            c.number(f"{part}_layers"),
            FullAttention(c.number(f"{part}_attention_heads"), hidden // c.number(f"{part}_attention_heads"), biases),
            Mlp(c.number(f"{part}_ffn_dim"), function, False, True),
            norm,
        )
        for part in ("encoder", "decoder")
    )
    return first, second


def bart(c: Config, name: str) -> EncoderDecoderModel:
    """bart: learned positions with two rows more in both stacks, norms behind the branches, biases."""
    encoder, decoder = _two_stacks(c, _BIASED, Normalisation(first=False))
    limit = c.number("max_position_embeddings")
    front = TokenFront(c.number("d_model"), c.number("vocab_size"), limit + 2, norm=True)
    tied = c.flag("tie_word_embeddings", default=True)
    return EncoderDecoderModel(name, front, front, encoder, decoder, tied, **{**facts(c), "context_limit": limit})


def whisper(c: Config, name: str) -> EncoderDecoderModel:
    """whisper: a spectrogram of 30 s, keys without bias; the decoder starts from four tokens that state the task."""
    encoder, decoder = _two_stacks(c, ("query", "value", "output"), Normalisation())
    hidden, limit = c.number("d_model"), c.number("max_target_positions", default=448)
    source = AudioFront(hidden, c.number("num_mel_bins", default=80), c.number("max_source_positions", default=1500))
    target = TokenFront(hidden, c.number("vocab_size"), limit)
    return EncoderDecoderModel(
        name, source, target, encoder, decoder, start_tokens=4, **{**facts(c), "context_limit": None}
    )


FAMILIES: dict[str, Callable[[Config, str], EncoderModel | EncoderDecoderModel]] = {
    "bert": bert, "roberta": bert, "xlm-roberta": bert, "distilbert": distilbert, "t5": t5, "bart": bart,
    "whisper": whisper,
}  # fmt: skip
"""Builder by ``model_type``."""
