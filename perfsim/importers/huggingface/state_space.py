"""Families with state-space layers: mamba, mamba2, and hybrids of them with attention (nemotron_h)."""

from __future__ import annotations

from perfsim.architectures import Attention, ChunkedStateSpace, DecoderModel, LayerGroup, Mlp, SelectiveStateSpace
from perfsim.errors import ConfigError
from perfsim.importers.huggingface.config import Config
from perfsim.importers.huggingface.parts import finish

__all__ = ["FAMILIES"]

_NUMERICS = (
    "hidden_act", "mamba_hidden_act", "rms_norm", "rescale_prenorm_residual", "time_step_floor",
    "time_step_init_scheme", "time_step_limit", "time_step_max", "time_step_min", "time_step_scale", "use_mambapy",
    "use_mamba_kernels", "use_associative_scan", "num_logits_to_keep", "d_inner", "d_model", "n_layer",
    "fused_add_norm", "pad_vocab_size_multiple", "ssm_cfg",
)  # fmt: skip
"""Keys of these families that change neither shapes nor counts."""


def mamba(c: Config, name: str) -> DecoderModel:
    """mamba: every layer is one selective scan behind an RMS norm; the head is tied."""
    hidden = c.number("hidden_size", "d_model")
    rank = c.table.get("time_step_rank")
    c.used.update(("time_step_rank", *_NUMERICS))
    mixer = SelectiveStateSpace(
        inner=c.number("intermediate_size", default=hidden * c.number("expand", default=2)),
        state=c.number("state_size", default=16), kernel=c.number("conv_kernel", default=4),
        rank=-(-hidden // 16) if rank in (None, "auto") else c.number("time_step_rank"),
        bias=c.flag("use_bias", default=False), conv_bias=c.flag("use_conv_bias", default=True),
    )  # fmt: skip
    c.number("expand", default=2)
    groups = (LayerGroup("layer", c.number("num_hidden_layers", "n_layer"), mixer, None, "mixer"),)
    return finish(
        c, name, hidden=hidden, vocabulary=c.number("vocab_size"), groups=groups,
        tied=c.flag("tie_word_embeddings", default=True),
    )  # fmt: skip


def mamba2(c: Config, name: str) -> DecoderModel:
    """mamba2: every layer is one chunked scan behind an RMS norm."""
    hidden = c.number("hidden_size")
    inner = hidden * c.number("expand", default=2)
    heads, head_dim = c.number("num_heads", default=128), c.number("head_dim", default=64)
    c.used.update(("time_step_rank", *_NUMERICS))
    if heads * head_dim != inner:
        raise c.fail("num_heads", f"{heads} heads of {head_dim} are not the {inner} channels (expand · hidden_size)")
    mixer = _chunked(c, inner, head_dim, c.number("state_size", default=128), "use_bias")
    groups = (LayerGroup("layer", c.number("num_hidden_layers"), mixer, None, "mixer"),)
    return finish(
        c, name, hidden=hidden, vocabulary=c.number("vocab_size"), groups=groups,
        tied=c.flag("tie_word_embeddings", default=False),
    )  # fmt: skip


def nemotron_h(c: Config, name: str) -> DecoderModel:
    """nemotron_h: one branch per layer, by a pattern of M (scan), * (attention without positions) and - (plain MLP)."""
    c.used.update(("expand", "time_step_rank", "num_hidden_layers", *_NUMERICS))
    hidden, pattern = c.number("hidden_size"), c.text("hybrid_override_pattern")
    strange = sorted(set(pattern) - set("M*-"))
    if strange or not pattern:
        raise c.fail("hybrid_override_pattern", f"has {', '.join(strange) or 'no layers'}, expected M, * and - only")
    head_dim = c.number("mamba_head_dim")
    scan = _chunked(c, c.number("mamba_num_heads") * head_dim, head_dim, c.number("ssm_state_size"), "mamba_proj_bias")
    bias = c.flag("attention_bias", default=False)
    attention = Attention(
        c.number("num_attention_heads"), c.number("num_key_value_heads"),
        c.number("attention_head_dim", "head_dim"), qkv_bias=bias, output_bias=bias, rotary=False,
        window=c.optional("sliding_window"),
    )  # fmt: skip
    mlp = Mlp(
        c.number("intermediate_size"), c.function("mlp_hidden_act", default="relu2"), False,
        c.flag("mlp_bias", default=False),
    )  # fmt: skip
    c.flag("use_bias", default=False)
    groups = (
        LayerGroup("scan_layer", pattern.count("M"), scan, None, "mixer"),
        LayerGroup("attention_layer", pattern.count("*"), attention, None),
        LayerGroup("mlp_layer", pattern.count("-"), None, mlp),
    )
    return finish(
        c, name, hidden=hidden, vocabulary=c.number("vocab_size"), groups=tuple(g for g in groups if g.count),
        tied=c.flag("tie_word_embeddings", default=False),
    )  # fmt: skip


def _chunked(c: Config, inner: int, head_dim: int, state: int, bias: str) -> ChunkedStateSpace:
    try:
        return ChunkedStateSpace(
            inner=inner, state=state, kernel=c.number("conv_kernel", default=4), head_dim=head_dim,
            groups=c.number("n_groups", default=8), chunk=c.number("chunk_size", default=256),
            bias=c.flag(bias, default=False), conv_bias=c.flag("use_conv_bias", default=True),
        )  # fmt: skip
    except ConfigError as error:
        raise c.fail("n_groups", str(error)) from None


FAMILIES = {"mamba": mamba, "mamba2": mamba2, "nemotron_h": nemotron_h}
"""Builder by ``model_type``."""
