"""What the families have in common: attention, layers that alternate, remarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perfsim.architectures import Attention, DecoderModel, LatentAttention, LayerGroup, MixtureOfExperts, Mlp
from perfsim.errors import ConfigError, UnknownNameError
from perfsim.importers.huggingface.config import Config
from perfsim.quantities.dtypes import dtype

__all__ = ["facts", "finish", "gated_attention", "groups_by", "head_size", "uniform", "window_kinds"]


def head_size(c: Config, hidden: int, heads: int) -> int:
    """``head_dim`` as stated, else width over heads, which must divide evenly."""
    stated = c.optional("head_dim")
    if stated is not None:
        return stated
    if hidden % heads:
        raise c.fail(
            "num_attention_heads", f"{heads} heads do not divide the width {hidden} evenly, and there is no head_dim"
        )
    return hidden // heads


def gated_attention(c: Config, **fields: Any) -> Attention:
    """Attention from ``num_attention_heads``, ``num_key_value_heads`` and ``head_dim``."""
    hidden, heads = c.number("hidden_size"), c.number("num_attention_heads")
    kv_heads = c.number("num_key_value_heads", default=heads)
    size = head_size(c, hidden, heads)
    try:
        return Attention(heads, kv_heads, size, **fields)
    except ConfigError as error:
        raise c.fail("num_key_value_heads", str(error)) from None


def uniform(
    c: Config, attention: Attention | LatentAttention, mlp: Mlp | MixtureOfExperts, *keys: str
) -> tuple[LayerGroup, ...]:
    """All layers equal."""
    return (LayerGroup("layer", c.number(*(keys or ("num_hidden_layers",))), attention, mlp),)


def groups_by(
    kinds: Sequence[tuple[str, Attention | LatentAttention, Mlp | MixtureOfExperts]],
) -> tuple[LayerGroup, ...]:
    """Layers of equal kind gathered into groups, in order of first appearance.

    Alternating layers become one group per kind: the order inside a stack of layers changes no cost.
    """
    found: dict[str, tuple[int, Attention | LatentAttention, Mlp | MixtureOfExperts]] = {}
    for name, attention, mlp in kinds:
        count = found[name][0] + 1 if name in found else 1
        found[name] = (count, attention, mlp)
    return tuple(LayerGroup(name, count, attention, mlp) for name, (count, attention, mlp) in found.items())


def window_kinds(c: Config, layers: int, default_period: int) -> list[bool]:
    """For every layer whether its attention is windowed, from ``layer_types`` or "all but every n-th"."""
    types = c.texts("layer_types")
    if types is None:
        return [(i + 1) % default_period != 0 for i in range(layers)]
    if len(types) != layers:
        raise c.fail("layer_types", f"has {len(types)} entries, expected num_hidden_layers = {layers}")
    for kind in types:
        if kind not in ("sliding_attention", "full_attention"):
            raise c.fail("layer_types", f'has "{kind}", expected sliding_attention or full_attention')
    return [kind == "sliding_attention" for kind in types]


def finish(c: Config, name: str, **fields: Any) -> DecoderModel:
    """The decoder, with what of the configuration did not enter it as remarks."""
    return DecoderModel(name, **facts(c), **fields)


def facts(c: Config) -> dict[str, Any]:
    """Number format, most positions, and remarks on what of the configuration no family looked at; call it last."""
    limit = c.optional("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    remarks = [f"config key {key} is not interpreted" for key in c.unread()]
    extra = c.table.get("num_nextn_predict_layers")
    if isinstance(extra, int) and not isinstance(extra, bool) and extra > 0:
        remarks.append(f"{extra} multi-token prediction layer(s) are neither stored nor run")
    if c.table.get("quantization_config"):
        remarks.append("quantization_config of the checkpoint is not applied; state dtype, or use weight-quantization")
    return {"dtype": _dtype(c), "context_limit": limit, "remarks": tuple(remarks)}


def _dtype(c: Config) -> str | None:
    stated = c.table.get("torch_dtype", c.table.get("dtype"))
    if stated is None:
        return None
    try:
        return dtype(stated).name if isinstance(stated, str) else None
    except UnknownNameError as error:
        raise c.fail("torch_dtype", str(error)) from None
