"""Matrix work under stacks that tile: priced as products, whatever operator does it, and never above the peak."""

import pytest

import perfsim as ps
from perfsim.costs.lowering import kernels_of
from perfsim.costs.scratchpad.reading import layer_of
from perfsim.errors import InputError
from perfsim.graph import GraphBuilder, Role
from perfsim.ops.fourier_matrix import MatrixFourier
from perfsim.quantities.dtypes import DTYPES

INT8 = ps.SinglePass(dtype="int8")
PAIRS = [
    ("dory", "gap8"), ("dory", "gap9"), ("gap-autotiler", "gap8"), ("gap-autotiler", "gap9"), ("gap-hwce", "gap8"),
    ("fpga-array", "ultra96-codenet"), ("engine-array", "ethos-u55-128"), ("engine-array", "max78000"),
]  # fmt: skip
NETWORKS = ("autoencoder-ad", "ds-cnn-s", "resnet8-cifar10", "tc-resnet8", "frontnet-160x16")
LARGE = (
    "deit-tiny", "mobilevit-s", "resnet18", "mobilenetv1-1.0-128", "mobilenetv2", "squeezenet-1.1", "codenet-256",
    "shufflenet-v2-1.0", "efficientnet-b0", "ecapa-tdnn-512",
)  # fmt: skip


def layers(prediction):
    return {layer.name: layer for layer in prediction.plan}


def test_without_a_sparse_unit_a_sparse_layer_is_the_dense_one_with_smaller_weights():
    """2:4 in int8 stores 4 of 8 bits and 2 bits of position per kept one: 5/8 of the bytes, all of the products."""
    dense = ps.predict("mobilenetv1-1.0-128", INT8, on="gap8", stack="dory")
    sparse = ps.predict("mobilenetv1-1.0-128", INT8, on="gap8", stack="dory", using=["semi-structured-sparsity"])
    for name, layer in layers(dense).items():
        other = layers(sparse)[name]
        assert (other.layer.kind, other.layer.macs) == (layer.layer.kind, layer.layer.macs), name
    assert layers(dense)["blocks.3.1.project"].layer.weights == 512 * 512 + 512  # and a bias each
    assert layers(sparse)["blocks.3.1.project"].layer.weights == 5 / 8 * 512 * 512 + 512
    assert 0.9 * dense.runtime < sparse.runtime <= dense.runtime


def test_a_sparse_kernel_multiplies_what_its_technique_says():
    """Half of the weights at the full rate per kept product: half of the products."""
    using = ["unstructured-sparsity:density=0.5,efficiency=1.0"]
    dense = ps.predict("resnet8-cifar10", INT8, on="gap8", stack="dory")
    sparse = ps.predict("resnet8-cifar10", INT8, on="gap8", stack="dory", using=using)
    pairs = [(layer.layer, layers(sparse)[name].layer) for name, layer in layers(dense).items() if layer.layer.macs]
    assert len(pairs) == 10
    assert all(other.kind == layer.kind and other.macs == layer.macs / 2 for layer, other in pairs)


def test_attention_is_a_product_per_head_whose_second_operand_is_a_feature_map():
    """DeiT-tiny: 197 positions, 3 heads of 64: scores are 3 products (197 × 64) · (64 × 197)."""
    p = ps.predict("deit-tiny", INT8, on="gap8", stack="dory")
    scores, values = (layers(p)[f"blocks.attention.{name}"].layer for name in ("scores", "values"))
    assert (scores.kind, scores.batch, scores.source, scores.target) == ("linear", 3, (64, 197, 1), (197, 197, 1))
    assert (scores.macs, scores.factor, scores.operands, scores.weights) == (64 * 197 * 197, 64 * 197, 0, 0)
    assert (values.source, values.target, values.macs) == ((197, 197, 1), (64, 197, 1), 197 * 197 * 64)
    assert values.kept == 1


def test_matrix_work_that_is_no_product_is_refused():
    graph = GraphBuilder()
    image = graph.tensor("image", (1, 4, 16, 16), DTYPES["int8"], Role.INPUT)
    graph.add(MatrixFourier, "transform", (image,), axes=2)
    built = graph.build()
    with pytest.raises(InputError) as refusal:
        layer_of(kernels_of(built, ps.stack("dory"))[0], built)
    assert str(refusal.value) == (
        "transform (fft): a stack that cuts layers into tiles plans convolutions, matrix products, pooling and "
        "element-wise work; leave out the technique that made it, or choose another stack"
    )


def bounded(network, stack, device, dtype):
    chip = ps.device(device)
    for point in chip.points or ("",):
        p = ps.predict(network, ps.SinglePass(dtype=dtype), on=chip.at(point) if point else chip, stack=stack)
        assert p.ideal.runtime <= p.runtime, point
        assert p.mfu <= 1, point
        for cost, _ in p.costs[0].kernels:
            unit = cost.peak if cost.matrix else float("inf")
            assert cost.matrix_flops <= unit * cost.runtime * (1 + 1e-9), (point, cost.name)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("stack", "device"), PAIRS)
def test_no_plan_is_faster_than_the_ideal(network, stack, device):
    bounded(network, stack, device, "int8")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("stack", ["dory", "gap-autotiler"])
def test_rates_of_int8_kernels_do_not_hold_in_other_formats(network, stack):
    """GAP9's engine multiplies int8 only; in fp16 the cores do the work, at 14 of its 120 GFLOP/s."""
    bounded(network, stack, "gap9", "fp16")


@pytest.mark.parametrize(("network", "pair"), [(n, PAIRS[i % len(PAIRS)]) for i, n in enumerate(LARGE)])
def test_no_plan_of_a_large_network_is_faster_than_the_ideal(network, pair):
    bounded(network, *pair, "int8")
