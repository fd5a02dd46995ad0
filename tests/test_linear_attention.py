"""Attention that is linear in the tokens: against the products one can count, and against softmax attention."""

from hypothesis import given
from hypothesis import strategies as st

from perfsim.graph import GraphBuilder, Role, check
from perfsim.ops import ContextSum, FusedAttention, KeyValueSum, LinearRead, Rearrange
from perfsim.quantities.dtypes import DTYPES
from tests.test_vision_ops import flops, one

FP16 = DTYPES["fp16"]


def linear(batch, tokens, heads, key_dim, value_dim):
    b = GraphBuilder()
    shape = (batch, tokens, heads, key_dim)
    query, key = (b.tensor(name, shape, FP16, Role.INPUT) for name in ("q", "k"))
    value = b.tensor("v", (*shape[:3], value_dim), FP16, Role.INPUT)
    b.add(LinearRead, "read", (query, b.add(KeyValueSum, "sum", (key, value))))
    return check(b.build())


def total(graph):
    return sum(op.work(graph.tensors).flops for op in graph.operators)


def test_sums_and_reads_are_two_products_per_token():
    graph = linear(2, 196, 4, 16, 32)
    assert graph.tensors["sum.out"].shape == (2, 4, 16, 33)  # one more column: the sum of the keys
    assert graph.tensors["read.out"].shape == (2, 196, 4, 32)
    each = 2 * 2 * 4 * 196 * 16 * 33
    assert [op.work(graph.tensors).flops for op in graph.operators] == [each, each]
    matrices = [op.work(graph.tensors).matrix for op in graph.operators]
    assert [(m.batch, m.m, m.n, m.k) for m in matrices] == [(8, 16, 33, 196), (8, 196, 33, 16)]


@given(tokens=st.integers(1, 4096), factor=st.integers(1, 8))
def test_work_is_linear_in_the_tokens(tokens, factor):
    assert total(linear(1, factor * tokens, 2, 8, 8)) == factor * total(linear(1, tokens, 2, 8, 8))


@given(tokens=st.integers(1, 200), dim=st.sampled_from([8, 16, 32]))
def test_softmax_attention_costs_more_from_about_as_many_tokens_as_the_head_is_wide(tokens, dim):
    softmax = flops(FusedAttention, [(1, tokens, 1, dim)] * 3, context=tokens, causal=False)
    # 4·tokens²·dim against 4·tokens·dim·(dim + 1)
    assert (total(linear(1, tokens, 1, dim, dim)) < softmax) == (tokens > dim + 1)


def test_separable_attention_needs_no_matrix_product():
    shapes = [(2, 128, 4, 256), (2, 1, 4, 256)]
    op, tensors, shape = one(ContextSum, shapes)
    assert shape == (2, 128, 4, 1)
    assert op.work(tensors).flops == 2 * 2 * 128 * 4 * 256  # a product and an addition per key
    assert op.work(tensors).matrix is None


def test_rearranging_keeps_the_elements():
    assert one(Rearrange, [(2, 64, 32, 32)], shape=(8, 256, 64))[2] == (8, 256, 64)
