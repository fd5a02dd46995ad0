"""Tiles of fused blocks: what they touch, what a plan costs, and what never happens."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.costs import phase_cost
from perfsim.costs.fusion import Limits, Settings, blocks_of, fused_graph, search
from perfsim.costs.fusion.footprint import shapes_of
from perfsim.costs.fusion.tiles import ring, tile_sizes, tiled
from perfsim.devices import System
from perfsim.graph import check
from perfsim.workloads import Phase
from tests.fusion_blocks import BLOCKS, HUGE, convfirst, costs, fuse, layerwise, machine, one_kernel, runtime, start

# ---- tiles ----


def test_every_number_of_tiles_is_tried_with_its_smallest_size():
    assert tile_sizes(7) == (7, 4, 3, 2, 1)  # 1, 2, 3, 4 and 7 tiles; 5 and 6 would need tiles of 2, too
    assert all(any(-(-56 // tile) == count for tile in tile_sizes(56)) for count in (1, 2, 3, 4, 7, 8, 14, 28, 56))


def test_halo_of_one_window():
    """8 output positions per tile of a 3-wide window read 10, at the edges of the map 9."""
    cuts = tiled(((3, 1, 1),), (32, 32), 8)
    assert (cuts.count, cuts.totals, cuts.largest) == (4, (9 + 10 + 10 + 9, 32), (10, 8))


def test_halo_of_a_window_between_pointwise_stages():
    """MBConv: the expansion is computed on the halo, too: ((s + k − 1) / s)² times away from edges."""
    cuts = tiled(((1, 1, 0), (3, 1, 1), (1, 1, 0)), (800, 800, 800, 800), 8)
    assert cuts.totals[0] == cuts.totals[1] == 100 * 10 - 2
    assert cuts.totals[2:] == (800, 800)
    assert cuts.totals[0] / 800 == pytest.approx((8 + 3 - 1) / 8, rel=0.002)


def test_halo_of_a_stride():
    """Stride 2, 3 wide, padding 1 in front: output 4..7 reads input 7..15."""
    assert tiled(((3, 2, 1),), (16, 8), 4).totals == (8 + 9, 8)


def test_a_ring_reads_nothing_twice():
    """Two 3-wide windows, 2 new rows at a time: 4 rows of the map before each window are on chip."""
    cuts = ring(((3, 1, 1), (3, 1, 1)), (32, 32, 32), 2)
    assert (cuts.totals, cuts.largest, cuts.steps) == ((32, 32, 32), (4, 4, 2), 16)


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3, 5, 7]), st.sampled_from([1, 2]))
def test_tiles_cover_the_map_and_touch_no_more_than_their_halos(size, tile, kernel, stride):
    out = (size - 1) // stride + 1
    cuts = tiled(((kernel, stride, (kernel - 1) // 2),), (size, out), tile)
    assert cuts.totals[1] == out
    assert min(size, out) <= cuts.totals[0] <= cuts.count * ((tile - 1) * stride + kernel)
    assert cuts.largest[0] <= size


# ---- one plan by hand ----


def plan_of(graph, ridge=100.0, **limits):
    system, stack = machine(ridge)
    (chain,), _ = blocks_of(graph)
    return search(chain, graph, system, stack, Limits(**limits)).plan


def test_a_plan_of_convfirst_by_hand():
    plan = plan_of(
        BLOCKS["ConvFirst"], scratchpad=HUGE, units=1, strategies=("recompute",), rows=8, columns=8, channels=64
    )
    assert plan.tiles == 8 * 4 * 4  # images × (32 / 8)²
    read_per_axis = 9 + 10 + 10 + 9
    assert plan.overlap(0) == read_per_axis**2 / 32**2
    assert plan.halo == 8 * 64 * (read_per_axis**2 - 32**2) * 2  # images × channels × positions × bytes
    assert plan.redo == (1, 1, 1, 1, 1)  # the window comes first: nothing behind it has a halo
    assert plan.resident  # a scratchpad without limit keeps the weights
    weights = 2 * (64 * 8 * 9 + 2 * 64 * 6 * 64 + 64 * 0)
    assert plan.shapes.stored == weights
    source, grouped, sliced, out = 10 * 10 * 64, 8 * 8 * 64, 8 * 8 * 64, 8 * 8 * 64
    assert plan.need == 2 * (source + grouped + sliced + out) + weights


def test_a_plan_of_mbconv_by_hand():
    limits = {"scratchpad": HUGE, "units": 1, "rows": 7, "columns": 7, "channels": 16}
    plan = plan_of(BLOCKS["MBConv"], strategies=("recompute",), **limits)
    touched = 8 + 9 + 9 + 8  # tiles of 7 out of 28, a halo of one
    assert plan.redo == pytest.approx(((touched / 28) ** 2, (touched / 28) ** 2, 1, 1, 1, 1))
    assert plan.halo == 8 * 32 * (touched**2 - 28**2) * 2
    ringed = plan_of(BLOCKS["MBConv"], strategies=("ring-buffer",), **{**limits, "columns": 28})
    assert ringed.halo == 0
    assert set(ringed.redo) == {1}
    assert ringed.tiles == 8  # one per image
    rows = 7 - 1 + 3
    source, expanded, working = (7 + 1) * 28 * 32, rows * 28 * 128, 7 * 28 * 128
    assert ringed.tile.ringed == {0, 2}  # the residual waits a row for the window; the window keeps its rows
    assert ringed.tile.areas[0] == source // 32
    assert ringed.need - ringed.shapes.stored >= 2 * (source + expanded)
    assert ringed.need - ringed.shapes.stored <= 2 * (source + expanded + 2 * working + 7 * 28 * 32)


def test_weights_that_do_not_stay_are_read_per_tile():
    graph = BLOCKS["ConvFirst"]
    tiles = {"units": 1, "rows": 8, "columns": 8, "strategies": ("recompute",)}
    whole = plan_of(graph, scratchpad=HUGE, **tiles)
    small = plan_of(graph, scratchpad=60_000, **tiles)
    assert (whole.resident, small.resident) == (True, False)
    assert small.passes == small.tiles == 128
    assert small.again - small.halo == whole.shapes.stored * 127
    several = plan_of(graph, scratchpad=HUGE, **{**tiles, "units": 20})
    assert several.passes == 20  # every unit holds its own copy


def test_units_without_a_tile_cost_time():
    graph = convfirst(64, 6, 32, 1)
    tiles = {"scratchpad": HUGE, "rows": 16, "columns": 16, "strategies": ("recompute",)}
    assert plan_of(graph, units=100, **tiles).redo == (25.0,) * 5  # 4 tiles on 100 units
    assert plan_of(graph, units=4, **tiles).redo == (1.0,) * 5


def test_the_extra_traffic_and_time_reach_the_kernel():
    graph = BLOCKS["MBConv"]
    limits = Limits(HUGE, 1, ("recompute",), 7, 7)
    plan = plan_of(graph, scratchpad=HUGE, units=1, strategies=("recompute",), rows=7, columns=7)
    system, stack = machine(0.5)  # so slow that the fused kernel pays although it computes more
    slow = phase_cost(Phase("t", graph), system, stack)
    fused = fused_graph(graph, system, stack, Settings(limits, "test"))
    assert fused.kernels == 0  # compute-bound apart, more to compute fused
    assert fused.reasons == (
        f"expand would take {_time(_forced(graph, plan, 0.5).runtime)} fused and takes {_time(slow.runtime)} apart",
    )
    cost, plain = one_kernel(graph, limits=limits), costs(graph)
    once = sum(graph.tensors[n].nbytes for n in ("x", "residual.add.out")) + plan.shapes.stored
    assert cost.traffic == once + plan.halo
    assert cost.flops == sum(c.flops for c in plain)  # recompute is executed, not useful
    first = next(c for c in plain if c.name == "expand")
    more = (plan.redo[0] - 1) * first.matrix_flops
    assert cost.compute == pytest.approx((cost.matrix_flops + more) / cost.peak)


def _forced(graph, plan, ridge):
    (chain,), _ = blocks_of(graph)
    kernel = plan.kernel(HUGE, "test")
    graph = replace(graph, kernels=dict.fromkeys(chain.operators, kernel))
    return phase_cost(Phase("t", graph), *machine(ridge))


def _time(value):
    from perfsim.quantities.units import DIMENSIONS, format_quantity

    return format_quantity(value, DIMENSIONS["time"])


def test_a_cache_serves_what_tiles_touch_again():
    graph = BLOCKS["ConvFirst"]
    device = ps.device("a100-sxm4-80gb")
    system, stack = System(device), layerwise().on(device)
    settings_ = Settings(Limits(60_000, 108, ("recompute",), 8, 8), "test")
    fused = fused_graph(graph, system, stack, settings_)
    phase = phase_cost(Phase("t", fused.graph), system, stack)
    (kernel, _), tiling = phase.kernels[0], phase.lowered[0].tiling
    assert tiling.distance < device.cache.capacity / 2
    once = (
        sum(graph.tensors[n].nbytes for n in ("x", "residual.add.out"))
        + shapes_of(blocks_of(graph)[0][0], graph.tensors).stored
    )
    assert kernel.traffic == pytest.approx(once)
    assert kernel.moved == pytest.approx(once + sum(tiling.reread.values()))


# ---- what never happens ----

GRAPHS = st.sampled_from(list(BLOCKS.values()))


@settings(max_examples=12, deadline=None)
@given(GRAPHS, st.integers(2_000, 200_000), st.floats(1, 8), st.sampled_from([10.0, 100.0, 300.0]), st.integers(1, 100))
def test_more_scratchpad_is_never_worse(graph, scratchpad, factor, ridge, units):
    times = [
        runtime(fuse(graph, Limits(size, units), ridge).graph, ridge) for size in (scratchpad, scratchpad * factor)
    ]
    assert times[1] <= times[0] * (1 + 1e-12)


@settings(max_examples=12, deadline=None)
@given(GRAPHS, st.integers(2_000, 500_000), st.sampled_from([1.0, 100.0, 300.0]), st.integers(1, 200))
def test_fusing_is_never_slower_and_keeps_the_work(graph, scratchpad, ridge, units):
    fused = fuse(graph, Limits(scratchpad, units), ridge)
    assert check(fused.graph) is fused.graph
    before, after = costs(graph, ridge), costs(fused.graph, ridge)
    assert sum(c.runtime for c in after) <= sum(c.runtime for c in before) * (1 + 1e-12)
    assert sum(c.flops for c in after) == sum(c.flops for c in before)
    assert sum(c.matrix_flops for c in after) == sum(c.matrix_flops for c in before)
    for kernel in fused.graph.kernels.values():
        assert 0 < kernel.need <= scratchpad


@settings(max_examples=6, deadline=None)
@given(GRAPHS, st.integers(20_000, 300_000), st.sampled_from([10.0, 300.0]))
def test_a_free_choice_is_never_worse_than_a_fixed_one(graph, scratchpad, ridge):
    free = runtime(fuse(graph, Limits(scratchpad, 10), ridge).graph, ridge)
    for strategy in ("recompute", "ring-buffer"):
        for tile in (0, 9):
            fixed = Limits(scratchpad, 10, (strategy,), tile, tile)
            assert free <= runtime(fuse(graph, fixed, ridge).graph, ridge) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("model", "stack", "using"),
    [
        ("convnext-tiny", "layerwise", "block-fusion:scratchpad=100000"),
        ("efficientnet-b0", "ideal", "block-fusion:scratchpad=100000"),
        ("mobilenetv2", "layerwise", "block-fusion:scratchpad=1000000,blocks=2"),
        ("resnet50", "ideal", "block-fusion:scratchpad=160000"),
    ],
)
def test_networks_are_never_slower(model, stack, using):
    job = ps.SinglePass(batch=16, dtype="fp16")
    plain, fused = (ps.predict(model, job, on="rtx-3090", stack=stack, using=u) for u in ([], [using]))
    assert fused.runtime <= plain.runtime * (1 + 1e-12)
    assert fused.flops == plain.flops
    assert fused.memory.activations <= plain.memory.activations


def test_a_stack_that_gains_nothing_leaves_blocks_apart_and_says_so():
    """The ideal stack keeps all maps on chip, so fusing can only add work; its bound must exist for every chain."""
    job = ps.SinglePass(batch=16, dtype="fp16")
    using = ["block-fusion:scratchpad=160000"]
    plain, fused = (ps.predict("resnet50", job, on="rtx-3090", using=u) for u in ([], using))
    assert fused.runtime == plain.runtime
    assert "layer1.1 would take" in fused.remarks[0]
    real = ps.predict("resnet50", job, on="rtx-3090", stack="layerwise", using=using)
    assert real.ideal.runtime == plain.runtime <= real.runtime


# ---- depth first ----


def chain_of(count, channels=32, size=28, batch=8):
    net, image = start(3, size, batch)
    x = net.conv("stem", image, channels)
    with net.block("block", count):
        y = net.act("act", net.conv("conv1", x, channels, 3), "relu")
        net.add("residual", net.conv("conv2", y, channels, 3), x)
    return net.finish()


def test_depth_first_fusion_joins_blocks():
    graph = chain_of(4)
    kernels = [set(fuse(graph, Limits(HUGE, 1), ridge=1000.0, blocks=n).graph.kernels.values()) for n in (1, 2, 3, 4)]
    joined = [sorted(kernel.plan["blocks"] for kernel in found) for found in kernels]
    assert joined == [[1], [2, 2], [2, 2], [4]]  # one block stands for four equal ones until they are joined


def test_depth_first_fusion_moves_only_its_ends():
    graph = chain_of(4)
    fused = fuse(graph, Limits(HUGE, 1), ridge=1000.0, blocks=4)
    _, cost = costs(fused.graph, 1000.0)  # behind the stem
    size = 8 * 32 * 28 * 28 * 2
    weights = 4 * 2 * (32 * 32 * 9) * 2
    assert cost.traffic == 2 * size + weights  # the first source, the last result
    assert cost.name == "block.0…block.3"
    assert cost.tiling.plan["blocks"] == 4


@pytest.mark.parametrize("scratchpad", [30_000, 60_000, 120_000, 400_000])
def test_more_blocks_per_kernel_are_never_worse(scratchpad):
    graph = chain_of(4)
    times = [runtime(fuse(graph, Limits(scratchpad, 10), 300.0, n).graph, 300.0) for n in (1, 2, 3, 4)]
    for fewer, more in pairwise(times):
        assert more <= fewer * (1 + 1e-12)
