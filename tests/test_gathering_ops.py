"""Operators that gather: moved taps, overlapping blocks, edges of a data graph, bags of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsim.graph import GraphBuilder, Role, check
from perfsim.ops import (
    Aggregate,
    Conv,
    DeformableSample,
    EmbeddingBag,
    FromBlocks,
    FusedAttention,
    Linear,
    Split,
    ToBlocks,
    ToMap,
    ToTokens,
)
from perfsim.quantities.dtypes import DTYPES
from tests.test_vision_ops import flops, one

FP16, INT32 = DTYPES["fp16"], DTYPES["int32"]


def test_a_deformable_convolution_is_a_gather_and_a_product():
    b = GraphBuilder()
    x = b.tensor("x", (2, 64, 32, 32), FP16, Role.INPUT)
    offsets = b.tensor("offsets", (2, 2 * 9, 32, 32), FP16, Role.INPUT)
    mask = b.tensor("mask", (2, 9, 32, 32), FP16, Role.INPUT)
    taps = b.add(DeformableSample, "taps", (x, offsets, mask))
    b.add(Conv, "conv", (taps, b.weight("weight", (1, 128, 64 * 9, 1, 1), FP16)))
    graph = check(b.build())
    sample, product = graph.operators
    assert graph.tensors[taps].shape == (2, 576, 32, 32)  # 64 channels × 9 taps, one pixel of padding per end
    assert graph.tensors["conv.out"].shape == (2, 128, 32, 32)
    assert sample.work(graph.tensors).flops == 2 * 32 * 32 * 576 * (7 + 1)  # bilinear sum, and the mask
    # the product is that of the plain 3×3 convolution
    assert product.work(graph.tensors).flops == flops(Conv, [(2, 64, 32, 32), (1, 128, 64, 3, 3)], padding=(2, 2))
    plain = [(2, 64, 32, 32), (2, 18, 32, 32)]
    assert flops(DeformableSample, plain) == 2 * 32 * 32 * 576 * 7  # without a mask
    assert one(DeformableSample, plain, stride=(2, 2))[2] == (2, 576, 16, 16)


@given(
    blocks=st.integers(1, 4), block=st.integers(1, 6), halo=st.integers(0, 3), heads=st.integers(1, 3),
    batch=st.integers(1, 3),
)  # fmt: skip
def test_every_block_reads_itself_and_its_halo(blocks, block, halo, heads, batch):
    side, width = blocks * block, heads * 4
    shape = one(ToBlocks, [(batch, side * side, width)], side=side, block=block, halo=halo, heads=heads)[2]
    assert shape == (batch * blocks**2, (block + 2 * halo) ** 2, heads, 4)
    copied, original = np.prod(shape), batch * side * side * width
    assert copied / original == pytest.approx((block + 2 * halo) ** 2 / block**2)  # arXiv 2103.12731, section 2


def test_halo_attention_works_on_blocks_and_their_surroundings():
    b = GraphBuilder()
    x = b.tensor("x", (2, 32 * 32, 64), FP16, Role.INPUT)
    query = b.add(ToBlocks, "q", (x,), side=32, block=8, heads=4)
    around = b.add(ToBlocks, "kv", (x,), side=32, block=8, halo=3, heads=4)
    y = b.add(FusedAttention, "attend", (query, around, around), context=14**2, causal=False)
    like = b.tensor("like", (2, 64, 32, 32), FP16, Role.INPUT)
    b.add(FromBlocks, "back", (y, like), side=32)
    graph = check(b.build())
    work = graph.operator("attend").work(graph.tensors)
    assert work.flops == 2 * 2 * (2 * 1024) * 14**2 * 64  # two products; each of 1024 tokens sees 14² of them
    assert graph.tensors["back.out"].shape == (2, 64, 32, 32)
    assert graph.operator("back").accessed(graph.tensors[like], graph.tensors) == 0  # only its shape is used


def data_graph(nodes, edges, width, weighted=False, **fields):
    b = GraphBuilder()
    inputs = (
        b.tensor("features", (nodes, width), FP16, Role.INPUT),
        b.tensor("edges", (2, edges), INT32, Role.INDEX),
    )
    if weighted:
        inputs = (*inputs, b.tensor("factors", (edges,), FP16, Role.INPUT))
    b.add(Aggregate, "sum", inputs, **fields)
    graph = check(b.build())
    op = graph.operator("sum")
    return op.work(graph.tensors).flops, op.accessed(graph.tensors["features"], graph.tensors)


def test_aggregation_costs_an_addition_per_edge_and_feature():
    # Cora: 2708 nodes, 10556 directed edges, 1433 features (arXiv 1609.02907, table 1 counts 5429 undirected ones)
    assert data_graph(2708, 10556, 1433) == (10556 * 1433, 2 * 2708 * 1433)  # every row once, 2 byte each
    assert data_graph(2708, 10556, 1433, weighted=True)[0] == 2 * 10556 * 1433
    assert data_graph(2708, 10556, 1433, hit_rate=0.0)[1] == 2 * 10556 * 1433  # every edge reads its row again
    assert data_graph(100, 40, 8)[1] == 2 * 40 * 8  # fewer edges than nodes touch fewer rows


@given(nodes=st.integers(1, 500), edges=st.integers(1, 2000), rate=st.floats(0, 1))
def test_a_better_cache_never_reads_more(nodes, edges, rate):
    best, some, none = (data_graph(nodes, edges, 4, hit_rate=r)[1] for r in (1.0, rate, 0.0))
    assert best <= some * (1 + 1e-12) <= none * (1 + 1e-9)
    assert none == 2 * 4 * edges


def test_a_graph_convolution_is_cheaper_with_the_projection_first_where_it_narrows():
    first = data_graph(2708, 10556, 16)[0]
    behind = data_graph(2708, 10556, 1433)[0]
    assert first < behind
    assert flops(Linear, [(2708, 1433), (1433, 16)]) == 2 * 2708 * 1433 * 16


def test_a_bag_is_a_sum_of_rows():
    b = GraphBuilder()
    indices = b.tensor("indices", (2048, 80), INT32, Role.INDEX)
    table = b.weight("table", (10**6, 64), FP16)
    b.add(EmbeddingBag, "bag", (indices, table), dtype=FP16)
    graph = check(b.build())
    op, tensors = graph.operator("bag"), graph.tensors
    assert tensors["bag.out"].shape == (2048, 64)
    assert op.work(tensors).flops == 2048 * 79 * 64
    assert op.accessed(tensors["table"], tensors) == 2 * 2048 * 80 * 64  # the rows looked up, not the table
    assert op.accessed(tensors["indices"], tensors) == 4 * 2048 * 80


def test_layouts_keep_the_elements():
    assert one(ToTokens, [(2, 12, 5, 7)])[2] == (2, 35, 12)
    assert one(ToTokens, [(2, 12, 5, 7)], heads=3)[2] == (2, 35, 3, 4)
    assert one(ToMap, [(2, 35, 3, 4)], spatial=(5, 7))[2] == (2, 12, 5, 7)
    assert one(ToMap, [(2, 35, 12)], spatial=(35,))[2] == (2, 12, 35)
    b = GraphBuilder()
    x = b.tensor("x", (2, 10, 4), FP16, Role.INPUT)
    parts = b.add(Split, "split", (x,), outputs=("a", "b", "c"), sizes=(2, 3, 5))
    assert [b.shape(p) for p in parts] == [(2, 2, 4), (2, 3, 4), (2, 5, 4)]
