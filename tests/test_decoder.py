"""Decoder graphs against published formulas and counts made by hand."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perfsim.architectures import Attention, Block, DecoderModel, LatentAttention, LayerGroup, MixtureOfExperts, Mlp
from perfsim.errors import ConfigError
from perfsim.graph import Role, Unit
from perfsim.ops import FusedAttention
from perfsim.quantities.dtypes import DTYPES
from tests.strategies import models, step


def decoder(attention=None, mlp=None, *, hidden=8, layers=3, vocabulary=10, **fields):
    """hidden 8, 2 query heads of 4, 1 key head, gated block of width 16, 10 tokens, 3 layers."""
    attention = attention or Attention(2, 1, 4)
    return DecoderModel("tiny", hidden, vocabulary, (LayerGroup("layer", layers, attention, mlp or Mlp(16)),), **fields)


def matrix_flops(graph, *kinds, region=None):
    """FLOP of the matrix unit over all repetitions."""
    return sum(
        op.work(graph.tensors).flops * graph.count(op)
        for op in graph.operators
        if op.unit is Unit.TENSOR and (not kinds or op.kind in kinds) and (region is None or bool(op.region) is region)
    )


# parameters, by hand

ATTENTION = 8 * 8 + 2 * 8 * 4 + 8 * 8  # queries, keys and values of one head, output: 192
GATED = 3 * 8 * 16  # gate, up, down: 384
TABLE = 10 * 8


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (decoder(), TABLE + 3 * (ATTENTION + GATED + 2 * 8) + 8 + TABLE),
        (decoder(tied=True), TABLE + 3 * (ATTENTION + GATED + 2 * 8) + 8),  # one table less
        (decoder(block=Block(parallel=True)), TABLE + 3 * (ATTENTION + GATED + 2 * 8) + 8 + TABLE),
        (decoder(block=Block(parallel=True, shared=True)), TABLE + 3 * (ATTENTION + GATED + 8) + 8 + TABLE),  # one norm
        (decoder(block=Block(before=True, after=True)), TABLE + 3 * (ATTENTION + GATED + 4 * 8) + 8 + TABLE),
        (decoder(block=Block(before=False, after=True)), TABLE + 3 * (ATTENTION + GATED + 2 * 8) + 8 + TABLE),
        (
            decoder(block=Block(before=False, post=True), final_norm=False),
            TABLE + 3 * (ATTENTION + GATED + 2 * 8) + TABLE,
        ),
        (decoder(norm="layernorm", norm_bias=True), TABLE + 3 * (ATTENTION + GATED + 4 * 8) + 16 + TABLE),
        (decoder(norm_weight=False), TABLE + 3 * (ATTENTION + GATED) + TABLE),
        (decoder(positions=20, embedding_norm=True), TABLE + 20 * 8 + 8 + 3 * (ATTENTION + GATED + 16) + 8 + TABLE),
        (decoder(head_bias=True), TABLE + 3 * (ATTENTION + GATED + 16) + 8 + TABLE + 10),
        (decoder(vocabulary_multiple=16), 16 * 8 + 3 * (ATTENTION + GATED + 16) + 8 + 16 * 8),  # 10 rows padded to 16
        (decoder(embedding_width=4), 10 * 4 + 4 * 8 + 3 * (ATTENTION + GATED + 16) + 8 + 8 * 4 + 4 * 10),
        (decoder(mlp=Mlp(16, "gelu", gated=False)), TABLE + 3 * (ATTENTION + 2 * 8 * 16 + 16) + 8 + TABLE),
        (
            decoder(Attention(2, 1, 4, qkv_bias=True, output_bias=True), Mlp(16, "gelu", gated=False, bias=True)),
            TABLE + 3 * (ATTENTION + (8 + 4 + 4) + 8 + 2 * 8 * 16 + (16 + 8) + 16) + 8 + TABLE,
        ),
        (decoder(Attention(2, 1, 4, query_key_norm="head")), TABLE + 3 * (ATTENTION + GATED + 16 + 2 * 4) + 8 + TABLE),
        (decoder(Attention(2, 1, 4, query_key_norm="full")), TABLE + 3 * (ATTENTION + GATED + 16 + 8 + 4) + 8 + TABLE),
        (decoder(Attention(2, 1, 4, sinks=True)), TABLE + 3 * (ATTENTION + GATED + 16 + 2) + 8 + TABLE),
    ],
)
def test_parameters_of_every_wiring(model, expected):
    assert model.parameters == expected
    assert model.active_parameters == expected


def test_parameters_of_a_mixture():
    moe = MixtureOfExperts(4, 2, 16, shared_width=32, shared_gate=True, router_bias=True)
    model = decoder(mlp=moe)
    outside = 2 * TABLE + 8
    layer = ATTENTION + 16 + 8 * 4 + 4 + 3 * 8 * 32 + 8  # norms, router with bias, shared expert, its gate
    assert model.parameters == outside + 3 * (layer + 4 * GATED)
    assert model.active_parameters == outside - TABLE + 3 * (layer + 2 * GATED)  # head and two of four experts
    tied = decoder(mlp=moe, tied=True)
    assert tied.active_parameters == model.active_parameters  # the one table is the head
    assert tied.parameters == model.parameters - TABLE


def test_parameters_of_latent_attention():
    latent = LatentAttention(heads=2, query_rank=6, kv_rank=5, nope_dim=4, rope_dim=2, value_dim=3)
    attention = (
        8 * 6
        + 6
        + 6 * 2 * (4 + 2)  # queries: down, norm, up
        + 8 * (5 + 2)
        + 5  # keys and values: down with the rotary part, norm
        + 5 * 2 * (4 + 3)  # up to keys and values
        + 2 * 3 * 8  # output
    )
    assert decoder(latent).parameters == 2 * TABLE + 8 + 3 * (attention + GATED + 16)
    direct = LatentAttention(heads=2, query_rank=None, kv_rank=5, nope_dim=4, rope_dim=2, value_dim=3)
    assert decoder(direct).parameters == decoder(latent).parameters + 3 * (8 * 12 - (8 * 6 + 6 + 6 * 12))


# FLOP of a GPT layer: 24·p·h²·L for the matrices, core-papers 1.3


@pytest.mark.parametrize("p", [1, 7, 128])
def test_gpt_flops_follow_the_published_formula(p):
    h, layers, vocabulary = 64, 5, 1000
    gpt = decoder(
        Attention(4, 4, 16), Mlp(4 * h, "gelu", gated=False), hidden=h, layers=layers, vocabulary=vocabulary, tied=True
    )
    graph = gpt.graph(step(p, p))
    assert matrix_flops(graph, "linear", region=True) == 24 * p * h**2 * layers  # 8ph² projections, 16ph² MLP
    assert matrix_flops(graph, "linear", region=False) == 2 * h * vocabulary  # logits of the last position only
    # 4p²h per layer without a mask; with it the i-th of p queries sees i keys: 2·p·(p + 1)·h
    assert matrix_flops(graph, "attention") == 2 * p * (p + 1) * h * layers
    naive = gpt.graph(step(p, p, attention="naive"))
    assert matrix_flops(naive, "scores", "values") == 4 * p**2 * h * layers
    assert matrix_flops(naive, "linear") == matrix_flops(graph, "linear")


def test_feed_forward_of_another_width():
    h, f, p = 64, 100, 9
    gpt = decoder(Attention(4, 4, 16), Mlp(f, "gelu", gated=False), hidden=h, layers=1)
    assert matrix_flops(gpt.graph(step(p, p)), "linear", region=True) == (8 * h**2 + 4 * h * f) * p


def test_one_decode_step_does_the_work_of_one_token():
    h, context = 64, 100
    gpt = decoder(Attention(4, 4, 16), Mlp(4 * h, "gelu", gated=False), hidden=h, layers=2)
    graph = gpt.graph(step(1, context, decode=True))
    assert matrix_flops(graph, "linear", region=True) == 24 * h**2 * 2
    assert matrix_flops(graph, "attention") == 4 * context * h * 2  # one query sees all positions


# caches


def test_cache_bytes():
    graph = decoder().graph(step(1, 100, batch=5, decode=True))
    assert (
        graph.footprint(Role.KV_CACHE) == 5 * 100 * 3 * 2 * (1 * 4) * 2
    )  # batch·positions·layers·(K and V)·heads·2 byte


def test_a_window_caps_the_cache():
    windowed = decoder(Attention(2, 1, 4, window=30))
    sizes = [windowed.graph(step(1, c, decode=True)).footprint(Role.KV_CACHE) for c in (20, 30, 100)]
    assert sizes == [3 * 2 * 4 * 2 * n for n in (20, 30, 30)]


def test_pages_round_the_cache_up():
    paged = decoder().graph(step(1, 33, attention="paged", decode=True, block_tokens=16))
    assert paged.footprint(Role.KV_CACHE) == 3 * 2 * 4 * 2 * 48  # three pages
    table = paged.tensors["layer.attention.block_table"]
    assert (table.shape, table.nbytes) == ((1, 3), 12)
    (attention,) = (op for op in paged.operators if op.kind == "attention")
    read = attention.accessed(paged.tensors["layer.attention.key_cache"], paged.tensors)
    assert read == 33 * 4 * 2  # only the positions in use are traffic


def test_a_latent_cache_is_shared_by_all_heads():
    latent = LatentAttention(heads=128, query_rank=None, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
    graph = decoder(latent).graph(step(1, 100, decode=True))
    assert graph.footprint(Role.KV_CACHE) == 3 * 100 * (512 + 64) * 2
    assert latent.cached_elements() == 576


# three kinds of attention graph


def test_naive_attention_moves_the_scores():
    p, heads = 50, 2
    graph = decoder().graph(step(p, p, attention="naive"))
    kinds = [
        op.kind for op in graph.operators if "attention." in op.name and op.kind in ("scores", "softmax", "values")
    ]
    assert kinds == ["scores", "softmax", "values"]
    for name, width in (("scores", 2), ("softmax", 4)):  # the softmax works in fp32
        scores = graph.tensors[f"layer.attention.{name}.out"]
        assert scores.shape == (1, heads, p, p)
        assert scores.nbytes == heads * p * p * width


@pytest.mark.parametrize("attention", ["fused", "paged"])
def test_fused_attention_stores_no_scores(attention):
    p = 50
    graph = decoder().graph(step(p, p, attention=attention))
    assert [op.kind for op in graph.operators if isinstance(op, FusedAttention)] == ["attention"]
    assert max(t.elements for t in graph.tensors.values() if t.role is Role.ACTIVATION) < p * p


@given(models(), st.integers(1, 100))
def test_fused_attention_does_half_the_pairs_of_naive(model, p):
    assume(not any(getattr(g.attention, "window", None) for g in model.groups))
    fused = matrix_flops(model.graph(step(p, p)), "attention")
    naive = matrix_flops(model.graph(step(p, p, attention="naive")), "scores", "values")
    assert fused * 2 * p == naive * (p + 1)  # p(p + 1)/2 visible pairs of p²


@given(models(), st.integers(1, 40), st.integers(1, 40))
def test_paged_attention_does_the_work_of_fused(model, tokens, before):
    fused, paged = (
        model.graph(step(tokens, before + tokens, attention=a, block_tokens=16)) for a in ("fused", "paged")
    )
    assert matrix_flops(fused) == matrix_flops(paged)


# latent attention in its two forms

LATENT = LatentAttention(heads=4, query_rank=None, kv_rank=32, nope_dim=16, rope_dim=8, value_dim=24)


def test_expanded_latent_attention():
    p = 10
    graph = decoder(LATENT, layers=1).graph(step(p, p))
    (up,) = (op for op in graph.operators if op.name == "layer.attention.kv_up")
    assert up.work(graph.tensors).flops == 2 * p * 32 * 4 * (16 + 24)  # latents to keys and values of every head
    assert matrix_flops(graph, "attention") == p * (p + 1) * ((16 + 8) + 24) * 4  # full keys, full values


def test_absorbed_latent_attention():
    context = 10
    graph = decoder(LATENT, layers=1).graph(step(1, context, decode=True))
    heads = {
        op.name.rsplit(".", 1)[1]: op.work(graph.tensors).flops for op in graph.operators if op.kind == "head-linear"
    }
    assert heads == {"absorb_query": 2 * 4 * 32 * 16, "absorb_value": 2 * 4 * 32 * 24}
    # queries meet latent and rotary key (32 + 8), and sum the latent alone (32)
    assert matrix_flops(graph, "attention") == 2 * context * ((32 + 8) + 32) * 4
    assert not any(op.name.endswith("kv_up") for op in graph.operators)


def test_absorption_pays_off_with_context():
    model = decoder(LATENT, layers=1)
    absorbed = model.graph(step(1, 1000, decode=True))
    per_position = 2 * 4 * ((32 + 8) + 32)
    expanding = 2 * 32 * 4 * (16 + 24)  # what expanding one cached position would cost
    assert matrix_flops(absorbed, "attention") == 1000 * per_position
    assert per_position < expanding


def test_both_forms_store_the_same_weights():
    model = decoder(LATENT)
    assert model.graph(step(5, 5)).parameters == model.graph(step(1, 5, decode=True)).parameters


# refusals and general properties


def test_heads_that_cannot_be_shared():
    with pytest.raises(ConfigError) as refusal:
        Attention(8, 3, 4)
    assert str(refusal.value) == "8 attention heads cannot share 3 key/value heads evenly"


def test_more_experts_than_there_are():
    with pytest.raises(ConfigError) as refusal:
        MixtureOfExperts(4, 5, 16)
    assert str(refusal.value) == "5 experts per token, expected 1 to 4 (the number of experts)"


@given(models())
def test_active_parameters_are_a_part(model):
    assert 0 < model.active_parameters <= model.parameters
    sparse = any(isinstance(g.mlp, MixtureOfExperts) and g.mlp.top_k < g.mlp.experts for g in model.groups)
    assert (model.active_parameters < model.parameters) is sparse


@given(models(), st.integers(1, 60), st.integers(1, 4))
def test_work_is_linear_in_the_batch(model, p, batch):
    kinds = ("linear", "attention", "head-linear", "experts")
    one, many = (matrix_flops(model.graph(step(p, p, batch=b)), *kinds) for b in (1, batch))
    assert many == pytest.approx(batch * one)


@given(models(), st.integers(2, 40))
def test_a_prompt_needs_the_flops_of_its_tokens(model, p):
    assume(
        not any(isinstance(g.attention, LatentAttention) for g in model.groups)
    )  # it changes form between the phases
    whole = matrix_flops(model.graph(step(p, p)), region=True)
    one_by_one = sum(matrix_flops(model.graph(step(1, i, decode=True)), region=True) for i in range(1, p + 1))
    assert whole == pytest.approx(one_by_one)


def test_formats_do_not_change_work():
    fp32 = step(5, 5, dtype=DTYPES["fp32"])
    assert matrix_flops(decoder().graph(fp32)) == matrix_flops(decoder().graph(step(5, 5)))
    assert decoder().graph(fp32).footprint(Role.WEIGHT) == 4 * decoder().parameters
