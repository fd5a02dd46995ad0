"""Block fusion: which blocks are found, published traffic and intensities, and the technique."""

from pathlib import Path

import pytest

import perfsim as ps
from perfsim.costs import phase_cost
from perfsim.costs.fusion import blocks_of
from perfsim.costs.waterline import aggregate_efficiency, attainable_efficiency
from perfsim.errors import InputError
from perfsim.graph import Role
from perfsim.techniques.block_fusion import BlockFusion, scratchpad_of
from perfsim.workloads import Phase
from tests.fusion_blocks import (
    BLOCKS,
    convfirst,
    convnext,
    costs,
    fuse,
    layerwise,
    machine,
    mbconv,
    one_kernel,
    squeezed,
    start,
)

# ---- recognition ----


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_found_by_their_structure(name):
    graph = BLOCKS[name]
    (chain,), cuts = blocks_of(graph)
    assert cuts == []
    assert chain.operators == tuple(op.name for op in graph.operators)
    assert (chain.source, chain.result) == ("x", graph.operators[-1].outputs[0])


@pytest.mark.parametrize(
    ("model", "region"),
    [
        ("convnext-tiny", "stages.2.blocks"), ("mobilenetv2", "blocks.2.1"), ("efficientnetv2-s", "blocks.1.1"),
        ("resnet50", "layer2.1"), ("resnet18", "layer3.1"), ("mobilenetv1", "blocks.2.1"),
    ],
)  # fmt: skip
def test_blocks_of_networks_are_whole_regions(model, region):
    p = ps.predict(model, ps.SinglePass(batch=1, dtype="fp16"), on=machine()[0], stack=layerwise())
    chains = {chain.name: chain for chain in blocks_of(p.costs[0].graph)[0]}
    assert chains[region].operators == tuple(op.name for op in p.costs[0].graph.operators if op.region == region)


def test_blocks_of_an_imported_graph_need_no_regions():
    onnx = pytest.importorskip("onnx", reason="importing needs the extra: pip install perfsim[onnx]")
    path = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    p = ps.predict(str(path), ps.SinglePass(batch=1, dtype="fp16"), on=machine()[0], stack=layerwise())
    chains, cuts = blocks_of(p.costs[0].graph)
    assert sorted(len(chain.operators) for chain in chains) == [
        2,
        *[7] * 16,
    ]  # the stem; conv, relu, conv, relu, conv, add, relu
    assert cuts == []  # the pool before the classifier cuts nothing


def test_two_blocks_without_a_residual_between_them_are_two():
    net, x = start(16, 28, 1)
    for index in range(3):  # depthwise separable convolutions, as in MobileNet v1
        x = net.act(f"act{index}", net.conv(f"depthwise{index}", x, net.channels(x), 3, groups=net.channels(x)), "relu")
        x = net.act(f"out{index}", net.conv(f"pointwise{index}", x, 2 * net.channels(x)), "relu")
    chains, _ = blocks_of(net.finish())
    assert [chain.operators for chain in chains] == [
        (f"depthwise{i}", f"act{i}", f"pointwise{i}", f"out{i}") for i in range(3)
    ]


def test_a_global_reduction_ends_a_block():
    graph = squeezed(32, 28)
    chains, cuts = blocks_of(graph)
    assert [chain.operators for chain in chains] == [
        ("block.expand", "block.act1", "block.depthwise", "block.act2"),
        ("block.se.multiply", "block.project", "block.residual.add"),
    ]
    assert [(cut.chain, cut.at, cut.kind) for cut in cuts] == [("block", "block.se.pool", "global-pool")]
    fused = fuse(graph)
    assert fused.kernels == 2
    assert fused.reasons == ("block is fused up to block.se.pool (global-pool) only, which needs the whole map",)
    inside = {"block.expand.out", "block.act1.out", "block.depthwise.out"}
    written = {name for kernel in phase_cost(Phase("t", fused.graph), *machine()).lowered for _, name in kernel.writes}
    assert inside.isdisjoint(written)
    assert "block.act2.out" in written  # the pool needs all of it first


# ---- published traffic, intensities and bounds of single blocks ----


def in_maps(cost, graph, channels, size, batch=128):
    """Traffic of a kernel without weights, in maps of batch × size² × channels elements of 2 bytes."""
    names = {name for op in graph.operators if op.name in cost.parts for name in op.inputs}
    weights = sum(graph.tensors[n].nbytes for n in names if graph.tensors[n].role is Role.WEIGHT)
    return (cost.traffic - weights) / (batch * size * size * channels * 2)


@pytest.mark.parametrize(
    ("graph", "channels", "size", "apart"),
    [
        (convfirst(64, 6, 64), 64, 64, [2, 7, 8]),  # read C write C; read C write 6C; read 6C and the residual, write C
        (mbconv(256, 4, 16), 256, 16, [5, 8, 6]),
        (convnext(96, 56), 96, 56, [2, 2, 5, 6]),
    ],
)
def test_traffic_of_blocks_in_maps(graph, channels, size, apart):
    """lavin-2024: 5 + 2e = 17 of ConvFirst, 3 + 4e = 19 of MBConv, 15 of ConvNeXt; 2 fused: 8.5, 9.5 and 7.5 times."""
    assert [in_maps(cost, graph, channels, size) for cost in costs(graph)] == pytest.approx(apart)
    assert in_maps(one_kernel(graph), graph, channels, size) == pytest.approx(2)


TABLE = [
    # block, intensities of its kernels, fused, attainable efficiency at ridge points 152, 76 and 327
    (convnext(96, 56), ("24.5", "0.0", "76.8", "64.0"), "408", (".36", ".72", ".17")),
    (convnext(192, 28), ("24.5", "0.0", "153", "128"), "786", (".69", ".86", ".32")),
    (convnext(384, 14), ("24.5", "0.0", "304", "253"), "1469", (".85", ".93", ".63")),
    (convnext(768, 7), ("24.4", "0.0", "560", "473"), "2073", (".92", ".96", ".83")),
    (convfirst(64, 6, 64), ("36", "54.9", "48.0"), "420", (".33", ".65", ".15")),
    (convfirst(128, 6, 32), ("36", "110", "95.9"), "799", (".62", ".95", ".29")),
    (convfirst(256, 6, 16), ("36", "218", "191"), "1500", (".93", ".98", ".56")),
    (mbconv(256, 4, 16), ("204", "36", "170"), "1128", (".72", ".88", ".37")),
]


@pytest.mark.parametrize(("graph", "apart", "fused", "bounds"), TABLE)
def test_intensities_and_bounds_to_the_printed_digits(graph, apart, fused, bounds):
    kernels = costs(graph)
    matrix, traffic = [cost.matrix_flops for cost in kernels], [cost.traffic for cost in kernels]
    for o, b, printed in zip(matrix, traffic, apart, strict=True):
        unit = 10.0 ** -len(printed.partition(".")[2])
        assert o / b == pytest.approx(float(printed), abs=0.55 * unit)  # 303.48 is printed 304, all others round so
    for ridge, printed in zip((152, 76, 327), bounds, strict=True):
        bound = attainable_efficiency(flops=matrix, traffic=traffic, ridge_point=ridge)
        # 21 of 24 to the digit; .714, .924 and .3250 are printed .72, .93 and .33: the ridge points are rounded, too
        assert bound == pytest.approx(float(printed), abs=0.006)
    cost = one_kernel(graph)
    assert f"{cost.matrix_flops / cost.traffic:.0f}" == fused
    assert cost.matrix_flops / cost.traffic > 327  # above all three waterlines: the bound of a fused block is 1
    assert cost.matrix_flops == sum(matrix)


def test_the_aggregate_roofline_misses_what_the_waterline_shows():
    kernels = costs(convnext(384, 14))
    sequence = {"flops": [c.matrix_flops for c in kernels], "traffic": [c.traffic for c in kernels]}
    assert aggregate_efficiency(**sequence, ridge_point=152) == 1
    assert round(attainable_efficiency(**sequence, ridge_point=152), 2) == 0.85


# ---- as a technique ----

JOB = ps.SinglePass(batch=128, dtype="fp16")


def refusal(model, using, on="a100-sxm4-80gb", job=JOB, stack="layerwise"):
    with pytest.raises(InputError) as caught:
        ps.predict(model, job, on=on, stack=stack, using=[using])
    return str(caught.value)


def test_refusals_say_why():
    assert refusal("vit-base-16", "block-fusion") == (
        "block-fusion cannot apply to vit-base-16: it has no chain of convolutions that one kernel could run"
    )
    # one column: rings of 3 × 5 and 3 × 3 positions, 3 being made, 64 channels each, and 16 channels of the result, all
    # in 2 byte; a slice of 16 of 64 channels of a weight (64 × 64 × 9) and its bias (64)
    needed = 2 * (64 * (15 + 9 + 3) + 16) + 2 * (64 * 64 * 9 + 64) * 16 // 64
    assert needed == 21952
    start = "layer1.0 does not fit: its smallest tile needs 21.95 kB per unit, stated scratchpad has 4.096 kB; "
    assert refusal("resnet18", "block-fusion:scratchpad=4096").startswith(
        f"block-fusion cannot apply to resnet18: {start}{start.replace('1.0', '1.1')}layer2.0 does not fit: "
    )
    assert refusal("resnet18", "block-fusion", on="apple-m2-pro") == (
        "block-fusion cannot apply to resnet18: no source gives the scratchpad of apple-m2-pro; "
        "state scratchpad=<bytes>"
    )


def test_scratchpads_of_devices():
    found = {key: scratchpad_of(ps.device(key)) for key in ("a100-sxm4-80gb", "mi300x", "epyc-9654", "tpu-v5e")}
    assert found == {
        "a100-sxm4-80gb": (164 * 1024, 108, "memory.l1.shared_capacity"),
        "mi300x": (64 * 1024, 304, "memory.lds.capacity"),
        "epyc-9654": (2**20, 96, "memory.l2.capacity"),
        "tpu-v5e": (128 * 2**20, 1, "memory.vmem.capacity"),
    }


def test_the_plan_is_explained_and_in_the_data():
    p = ps.predict("mobilenetv2", JOB, on="a100-sxm4-80gb", stack="layerwise", using=["block-fusion"])
    (row,) = (row for row in p.to_dict()["operators"] if row["name"] == "blocks.2.1")
    assert row["kind"] == "fused-block"
    plan = row["tiling"]
    assert plan["need"] <= plan["scratchpad"] == 164 * 1024
    text = p.explain("forward", operator="blocks.2.1.depthwise")
    shape = f"{plan['rows']} × {plan['columns']} positions of {plan['images']} image(s)"
    assert f"tiles   = {shape}, {plan['tiles']} for 108 unit(s), up to {plan['channels']} channels at a time" in text
    assert "of 167.9 kB per unit (a100-sxm4-80gb memory.l1.shared_capacity); 5 maps stay there" in text
    assert "expand (conv)" in text
    plain = next(row for row in p.to_dict()["operators"] if row["name"] == "head")
    assert plain["tiling"] is None


def test_squeeze_and_excite_is_a_remark():
    p = ps.predict("efficientnet-b0", JOB, on="a100-sxm4-80gb", stack="layerwise", using=["block-fusion"])
    (remark,) = p.remarks
    assert remark.startswith(
        "block-fusion: blocks.0.0 is fused up to blocks.0.0.se.pool (global-pool) only, which needs the whole map; "
    )


def test_applying_it_twice_changes_nothing():
    once, twice = (
        ps.predict("convnext-tiny", JOB, on="a100-sxm4-80gb", stack="layerwise", using=["block-fusion"] * n)
        for n in (1, 2)
    )
    assert twice.runtime == once.runtime
    assert twice.remarks == once.remarks


def test_quantised_weights_fuse():
    job = ps.SinglePass(batch=32, dtype="int8")
    p = ps.predict("mobilenetv2", job, on="a100-sxm4-80gb", stack="layerwise", using=["block-fusion"])
    q = ps.predict("mobilenetv2", job, on="a100-sxm4-80gb", stack="layerwise")
    assert p.runtime < q.runtime


def test_parameters_survive_their_text():
    technique = BlockFusion(scratchpad=1000, strategy="ring-buffer", blocks=2, rows=4)
    assert str(technique) == "block-fusion:scratchpad=1000,strategy=ring-buffer,blocks=2,rows=4,columns=0,channels=0"


# ---- published efficiencies ----

PEAK = 142e12
"""Of an RTX 3090 in fp16 with fp16 sums [FLOP/s]: what the published percentages are most likely relative to."""

RANGES = {  # computational efficiency over the sizes of a family, lavin-2024 by its summaries [1]
    ("efficientnet-b0", "efficientnet-b5"): (0.05, 0.08),
    ("convnext-tiny", "convnext-large"): (0.19, 0.35),
}


def efficiency(model, stack, using=(), peak="71.2 TFLOP/s"):
    job = ps.SinglePass(batch=256, dtype="fp16")
    change = {"device.compute.tensor.fp16": peak}
    p = ps.predict(model, job, on="rtx-3090", stack=stack, using=using, what_if=change)
    return p.costs[0].total("matrix_flops") / p.runtime / PEAK


@pytest.mark.parametrize("family", RANGES)
def test_published_efficiencies_lie_between_pytorch_and_the_bound_of_single_kernels(family):
    """The published device and software are not known; an RTX 3090 with PyTorch 2.4 measures close to the ranges."""
    low, high = RANGES[family]
    pytorch = [efficiency(model, "pytorch-channels-last") for model in family]
    bound = [efficiency(model, "layerwise") for model in family]
    assert pytorch[0] < pytorch[1]
    assert pytorch[0] <= low < high <= bound[1]
    assert pytorch == pytest.approx([low, high], rel=0.3)


def test_published_efficiency_of_fused_convfirst():
    """47-55 %: between fused blocks with the kernels of PyTorch and fused blocks at the roofline, fp16 sums included.

    The published network's table is not known; the catalogue's blocks of three sizes stand for it.
    """
    fused = ["block-fusion"]
    lowest = efficiency("convfirst", "pytorch-channels-last", fused)
    highest = efficiency("convfirst", "layerwise", fused, "142 TFLOP/s")
    assert lowest <= 0.47 < 0.55 <= highest
    apart = efficiency("convfirst", "pytorch-channels-last")
    assert lowest / apart > 2  # fusing is what gets it there
