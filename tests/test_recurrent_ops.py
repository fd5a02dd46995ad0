"""Recurrent layers and group norm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsim.graph import GraphBuilder, Role, check
from perfsim.ops import GroupNorm, Gru, Linear, Lstm
from perfsim.quantities.dtypes import DTYPES
from tests.test_vision_ops import flops, one

FP16 = DTYPES["fp16"]


@pytest.mark.parametrize(("kind", "gates"), [(Lstm, 4), (Gru, 3)])
def test_a_layer_is_two_products_per_position(kind, gates):
    shapes = [(8, 50, 256), (256, gates * 512), (512, gates * 512)]
    op, tensors, shape = one(kind, shapes)
    assert shape == (8, 50, 512)
    from_input = flops(Linear, [(8, 50, 256), (256, gates * 512)])
    from_state = flops(Linear, [(8, 50, 512), (512, gates * 512)])
    assert op.work(tensors).flops == from_input + from_state
    matrix = op.work(tensors).matrix
    assert (matrix.batch, matrix.m, matrix.n, matrix.k) == (50, 8, gates * 512, 768)  # one position waits for the other
    read = sum(op.accessed(tensors[name], tensors) for name in op.inputs)
    assert read == 2 * (8 * 50 * 256 + 768 * gates * 512)  # weights once


def test_a_cell_is_a_layer_of_one_position_and_hands_on_its_states():
    b = GraphBuilder()
    x = b.tensor("x", (8, 1, 256), FP16, Role.INPUT)
    weights = (b.weight("w", (256, 2048), FP16), b.weight("u", (512, 2048), FP16))
    outputs = b.add(Lstm, "cell", (x, *weights), outputs=("", "hidden", "cell"))
    graph = check(b.build())
    assert [graph.tensors[name].shape for name in outputs] == [(8, 1, 512), (8, 512), (8, 512)]
    assert graph.operator("cell").work(graph.tensors).flops == 2 * 8 * 768 * 2048


@given(tokens=st.integers(1, 64), factor=st.integers(1, 5))
def test_work_is_linear_in_the_positions(tokens, factor):
    weights = [(4, 12), (3, 12)]
    assert flops(Lstm, [(2, factor * tokens, 4), *weights]) == factor * flops(Lstm, [(2, tokens, 4), *weights])


def test_group_norm_works_per_element_whatever_the_groups():
    shapes = [(2, 64, 8, 8), (64,), (64,)]
    assert one(GroupNorm, shapes)[2] == (2, 64, 8, 8)
    assert flops(GroupNorm, shapes, groups=32) == flops(GroupNorm, shapes, groups=1) == 7 * 2 * 64 * 64
