"""Networks over sound: speaker recognition and keyword spotting, from published sizes to plans on GAP8."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.architectures.vision import AudioModel, EcapaTdnn, TcResNet, TimeDelayNet
from perfsim.architectures.vision.audio import in_time, statistics
from perfsim.architectures.vision.net import Net
from perfsim.costs.lowering import kernels_of
from perfsim.costs.scratchpad.reading import layer_of
from perfsim.errors import ConfigError, InputError, PerfsimError
from perfsim.graph import GraphBuilder, Role, Unit, check
from perfsim.ops import BatchNorm, Conv, DepthwiseConv, Linear, Lstm, Pool
from perfsim.prediction.claims import check_claims
from perfsim.quantities.dtypes import DTYPES
from tests.test_cli_commands import run

FP32, INT8 = DTYPES["fp32"], DTYPES["int8"]


def graph_of(model, frames=None, dtype=FP32, fold=True):
    return check(model.graph(ImageStep(1, frames or model.image_size, dtype, dtype, fold=fold)))


# published: multiply-accumulates (batch norms included, two per element), parameters; half of the last printed digit
PRINTED = [
    ("efficient-tdnn-small", 204.07e6, 0.005e6, 899.20e3, 5),
    ("efficient-tdnn-mobile", 570.98e6, 0.005e6, 2.42e6, 0.005e6),
    ("efficient-tdnn-base", 1.45e9, 0.005e9, 5.79e6, 0.005e6),
    ("efficient-tdnn-largest", 1.93e9, 0.005e9, 7.55e6, 0.005e6),
    ("efficient-tdnn-smallest", 83.47e6, 0.005e6, 443.97e3, 5),
    ("ecapa-tdnn-512", 1.04e9, 0.005e9, 6.2e6, 0.05e6),  # the paper prints 6.2 and 14.7 million parameters
    ("ecapa-tdnn-1024", 2.65e9, 0.005e9, 14.7e6, 0.05e6),
    ("x-vector-80", 0.53e9, 0.005e9, 4.61e6, 0.005e6),
]


@pytest.mark.parametrize(("name", "macs", "slack", "parameters", "digits"), PRINTED)
def test_sizes_to_the_last_printed_digit(name, macs, slack, parameters, digits):
    model = ps.model(name)
    assert abs(model.macs - macs) <= slack
    assert abs(model.parameters - parameters) <= digits


def test_x_vector_by_hand():
    model = ps.model("x-vector")
    weights = 5 * 24 * 512 + 2 * 3 * 512 * 512 + 512 * 512 + 512 * 1500 + 3000 * 512
    assert model.parameters == weights + 4 * 512 + 1500 + 512 == 4_204_508  # 4.2 million in the paper
    # of 300 frames 4, 4 and 6 are lost, as nothing is padded
    frames = 296 * 5 * 24 * 512 + (292 + 286) * 3 * 512 * 512 + 286 * 512 * 512 + 286 * 512 * 1500
    assert model.macs == frames + 3000 * 512


@pytest.mark.parametrize(("name", "operations", "thousands"), [
    ("tc-resnet8", 3.0, 66), ("tc-resnet8-1.5", 6.6, 145), ("tc-resnet14", 6.1, 137), ("tc-resnet14-1.5", 13.4, 305),
])  # fmt: skip
def test_tc_resnet_counts_the_statistics_of_its_norms(name, operations, thousands):  # millions, two per product
    model = ps.model(name)
    kept = graph_of(model, fold=False)
    statistics = sum(t.elements * kept.count(t) for t in kept.of_role(Role.STATE))
    assert round((model.parameters + statistics) / 1e3) == thousands
    assert round(2 * model.counts().products / 1e6, 1) == operations


def test_matchboxnet_by_hand():
    one, two = ps.model("matchboxnet-3x1x64"), ps.model("matchboxnet-3x2x64")
    assert (round(one.parameters / 1e3), round(two.parameters / 1e3)) == (77, 93)  # thousands, as published
    # one more pair in each block: 64 channels with k taps, 64 · 64 weights, scale and shift
    assert two.parameters - one.parameters == sum(64 * taps + 64 * 64 + 2 * 64 for taps in (13, 15, 17))


# arXiv 1711.07128: kB of int8 weights and of the largest input and output of a layer, million operations
HELLO_EDGE = [
    ("dnn-kws-s", 80.0, 0.1588), ("dnn-kws-m", 199.4, 0.3971), ("dnn-kws-l", 496.6, 0.9902),
    ("cnn-kws-s", 79.0, 5.0), ("cnn-kws-m", 199.4, 17.3), ("cnn-kws-l", 497.8, 25.3),
    ("ds-cnn-s", 38.6, 5.4), ("ds-cnn-m", 189.2, 19.8), ("ds-cnn-l", 497.6, 56.9),
]  # fmt: skip


@pytest.mark.parametrize(("name", "memory", "operations"), HELLO_EDGE)
def test_memory_and_operations_of_hello_edge(name, memory, operations):
    graph = graph_of(ps.model(name), dtype=INT8)
    layers = [op for op in graph.operators if isinstance(op, Conv | Linear)]
    sizes = [graph.tensors[op.inputs[0]].elements + graph.tensors[op.outputs[0]].elements for op in layers]
    assert (graph.parameters + max(sizes)) / 1e3 == pytest.approx(memory, abs=0.1)  # one row is cut, not rounded
    products = sum(op.work(graph.tensors).flops for op in layers)
    biases = sum(graph.tensors[op.outputs[0]].elements for op in layers)
    assert (products + biases) / 1e6 == pytest.approx(operations, rel=0.01)  # two or four digits are printed


RECURRENT = [
    ("lstm-kws-s", 63.3, 5.9), ("lstm-kws-m", 196.5, 18.9), ("lstm-kws-l", 494.5, 47.9),
    ("gru-kws-s", 78.8, 3.8), ("gru-kws-m", 200.0, 19.2), ("gru-kws-l", 499.7, 48.4),
    ("crnn-kws-s", 79.7, 3.0), ("crnn-kws-m", 199.8, 7.6), ("crnn-kws-l", 499.5, 19.3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "memory", "operations"), RECURRENT)
def test_recurrent_networks_of_hello_edge(name, memory, operations):
    model = ps.model(name)
    graph = graph_of(model, dtype=INT8)
    layers = [op for op in graph.operators if isinstance(op, Conv | Linear | Lstm)]
    sums = [graph.tensors[op.outputs[0]].elements * getattr(op, "gates", 1) for op in layers]
    steps = graph.tensors[layers[0].outputs[0]].shape[1] if isinstance(layers[0], Lstm) else 1
    room = graph.tensors["frames"].elements + sums[0] // steps  # input, and sums of one step or of the convolution
    assert (graph.parameters + room) / 1e3 == pytest.approx(memory, abs=0.1)
    products = sum(op.work(graph.tensors).flops for op in layers)
    assert (products + sum(sums)) / 1e6 == pytest.approx(operations, rel=0.01)  # two or three digits are printed


def test_a_dilated_layer_by_hand():
    net = Net(ImageStep(1, 300, FP32, FP32))
    x = net.builder.tensor("x", (1, 64, 300, 1), FP32, Role.INPUT)
    same = net.conv("same", x, 32, in_time(3), dilation=in_time(4))
    valid = net.conv("valid", same, 32, in_time(3), dilation=in_time(4), padding=0)
    last = net.conv("strided", valid, 32, in_time(9), in_time(2))
    graph = check(net.finish())
    shapes = [graph.tensors[name].shape for name in (same, valid, last)]
    assert shapes == [(1, 32, 300, 1), (1, 32, 292, 1), (1, 32, 146, 1)]  # 300 − 4 · (3 − 1), half
    assert graph.operator("valid").work(graph.tensors).flops == 2 * 292 * 32 * 32 * 3
    assert graph.operator("same").padding == (8, 0)


def test_statistics_read_the_frames_twice():
    net = Net(ImageStep(2, 50, FP32, FP32))
    x = net.builder.tensor("x", (2, 16, 50, 1), FP32, Role.INPUT)
    mean, deviation = statistics(net, "stats", x)
    joined = net.join("joined", x, mean, deviation)
    graph = check(net.finish())
    assert graph.tensors[mean].shape == graph.tensors[deviation].shape == (2, 16)
    assert graph.tensors[joined].shape == (2, 48, 50, 1)  # both at every frame
    work = sum(op.work(graph.tensors).flops for op in graph.operators)
    assert work == 3 * 2 * 16 * 50 + 2 * 2 * 16  # add, square, add per frame; one multiply-add per channel


def test_norms_behind_activations_stay_operators():
    model = ps.model("ecapa-tdnn-512")
    folded, kept = graph_of(model), graph_of(model, fold=False)
    count = [sum(isinstance(op, BatchNorm) for op in graph.operators) for graph in (folded, kept)]
    assert count == [1 + 3 * (7 + 2) + 1, 1 + 3 * (7 + 2) + 1 + 1]  # that of the embedding folds
    assert sum(isinstance(op, BatchNorm) for op in graph_of(ps.model("tc-resnet8")).operators) == 0


PADDED = ["efficient-tdnn-small", "ecapa-tdnn-512", "matchboxnet-3x1x64"]


@pytest.mark.parametrize("name", PADDED)
@given(frames=st.integers(1, 3000), more=st.integers(1, 3000))
def test_a_longer_recording_costs_proportionally_more(name, frames, more):
    model = ps.model(name)
    at = [model.counts(n).products for n in (frames, frames + more, frames + 2 * more)]
    assert at[1] - at[0] == at[2] - at[1] > 0
    assert model.counts(frames).parameters == model.parameters


def test_two_and_three_seconds():
    model = ps.model("ecapa-tdnn-512")
    jobs = (ps.SinglePass(frames=frames, dtype="int8") for frames in (200, 300))
    short, long = (ps.predict(model, job, on="gap8", stack="dory") for job in jobs)
    assert (short.job.frames, short.job.delivers) == (200, "recording")
    assert "recording/s" in short.table()
    per_frame = 80 * 512 * 5 + 3 * (2 * 512**2 + 7 * 64**2 * 3) + 1536**2 + 4608 * 128 + 128 * 1536
    assert long.model.counts(300).products - short.model.counts(200).products == 100 * per_frame
    assert 1.45 < long.runtime / short.runtime < 1.55
    assert ps.predict(model, ps.SinglePass(dtype="int8"), on="gap8").job.frames == 200  # its own number, unless stated


def refused(model, **fields):
    with pytest.raises(InputError) as refusal:
        ps.predict(model, ps.SinglePass(**fields), on="t4")
    return str(refusal.value)


def test_every_kind_of_network_knows_one_size():
    assert refused("x-vector", image_size=300) == "image_size=300: x-vector is a speech model; state frames"
    assert refused("x-vector", sequence=300) == "sequence=300: x-vector is a speech model; state frames"
    assert refused("resnet18", frames=300) == "frames=300: resnet18 is a vision model; leave it out"
    assert refused("bert-tiny", frames=300) == "frames=300: bert-tiny is a text encoder; state sequence"
    assert refused("x-vector", frames=10).startswith("frames=10 for x-vector: a window of 3 (dilation 3) does not fit")
    with pytest.raises(InputError, match="frames=0"):
        ps.SinglePass(frames=0)


def test_the_command_line():
    words = ["predict", "tc-resnet8", "--on", "gap8", "--stack", "dory", "--dtype", "int8", "--json"]
    usual, longer = (json.loads(run(*words, *more).stdout) for more in ([], ["--frames", 196]))
    assert usual["workload"]["frames"] == 98
    assert 1.95 < longer["macs"] / usual["macs"] < 2  # frames that strides halve are rounded up
    assert longer["runtime"] > usual["runtime"]


TOML = 'name = "m"\nsource = "s"\n[vision]\nfamily = "ecapa-tdnn"\n{}\n[sources.s]\ntitle = "made up"\n'


def test_a_network_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(TOML.format("frames = 50\nwidth = 64\ninner = [64]\nkernels = [5, 3]\naggregate = 96"))
    model = ps.model(str(file))
    assert isinstance(model, AudioModel)
    assert model.shape() == {"frames": 50, "features": 80, "classes": 192}
    file.write_text(TOML.format("frames = 0.5"))
    with pytest.raises(PerfsimError) as refusal:
        ps.model(str(file))
    assert str(refusal.value) == f"{file}: vision.frames: is 0.5, expected a whole number"


@pytest.mark.parametrize(("model", "message"), [
    (TimeDelayNet(name="mine", kernels=(5,)), "mine: expected as many widths as kernels and dilations"),
    (
        EcapaTdnn(name="mine", inner=(500,), kernels=(5, 3)),
        "mine: expected one kernel for the first layer and one per block, and blocks of multiples of 8 channels",
    ),
])  # fmt: skip
def test_lists_that_do_not_go_together(model, message):
    with pytest.raises(ConfigError) as refusal:
        model.counts()
    assert str(refusal.value) == message


def test_widths_scale():
    base = TcResNet(name="mine", widths=(16, 24, 32, 48))
    assert base.scaled(width=1.5).widths == (24, 32, 48, 72)  # multiples of 8; 36 becomes 32
    assert base.scaled(resolution=2).image_size == 196


STACKS = [
    ("xeon-8380", "onnxruntime-cpu", "fp32"), ("raspberry-pi-4", "ncnn", "fp32"), ("gap8", "dory", "int8"),
    ("gap8", "gap-autotiler", "int8"), ("gap9", "dory", "int8"), ("gap9", "gap-autotiler", "int8"),
    ("stm32l4r5", "cmsis-nn", "int8"), ("stm32l4r5", "x-cube-ai", "int8"),
]  # fmt: skip


@pytest.mark.parametrize(("device", "stack", "dtype"), STACKS)
@pytest.mark.parametrize("name", ["efficient-tdnn-small", "tc-resnet8", "matchboxnet-3x1x64", "x-vector", "crnn-kws-s"])
def test_every_stack_runs_them(name, device, stack, dtype):
    prediction = ps.predict(name, ps.SinglePass(dtype=dtype), on=device, stack=stack)
    assert prediction.ideal.runtime < prediction.runtime < 60  # [s]; a microcontroller takes 20 s for an x-vector


def plan(name, stack="dory"):
    return ps.predict(name, ps.SinglePass(dtype="int8"), on="gap8", stack=stack)


@pytest.mark.parametrize("name", [*PADDED, "tc-resnet8", "x-vector"])
def test_kinds_of_layers_on_a_microcontroller(name):
    prediction, graph = plan(name), graph_of(ps.model(name), dtype=INT8)
    of = {layer.name: layer for layer in prediction.plan}
    for op in graph.operators:
        if not isinstance(op, Conv):
            continue
        layer = of[op.name].layer
        taps = graph.tensors[op.inputs[1]].shape[3:]
        kind = "depthwise" if isinstance(op, DepthwiseConv) else "pointwise" if taps == (1, 1) else "conv"
        assert (layer.kind, layer.kernel, layer.dilation) == (kind, taps, op.dilation)  # never a first layer
        assert layer.macs == op.work(graph.tensors).flops / 2
        rate = layer.macs / of[op.name].tiling.compute
        assert 0.4 < rate < 17  # eight cores with 2.09 per cycle at most
    assert prediction.memory.fits
    assert all(layer.tiling.used <= 38_000 for layer in prediction.plan)  # what DORY leaves of 64 kB


def test_a_dilated_window_spans_what_lies_between_its_taps():
    layer = next(layer.layer for layer in plan("x-vector").plan if layer.name == "frame3")
    assert (layer.kernel, layer.dilation) == ((3, 1), (3, 1))
    assert layer.window(1, 1) == (7, 1)
    assert layer.window(10, 1) == (16, 1)


def test_a_map_of_three_axes_has_its_channels_second():
    b = GraphBuilder()
    x = b.tensor("x", (1, 40, 200), INT8, Role.INPUT)
    y = b.add(Conv, "conv", (x, b.weight("w", (1, 64, 40, 5), INT8)), stride=(2,), padding=(8,), dilation=(2,))
    b.add(Pool, "pool", (y,), kernel=(2,), stride=(2,), padding=(0,))
    graph = check(b.build())
    conv, pool = (layer_of(kernel, graph) for kernel in kernels_of(graph, ps.stack("dory")))
    assert (conv.kind, conv.source, conv.target) == ("conv", (40, 200, 1), (64, 100, 1))
    assert (conv.kernel, conv.stride, conv.dilation) == ((5, 1), (2, 1), (2, 1))
    assert (pool.kind, pool.source, pool.target, pool.kernel) == ("pool", (64, 100, 1), (64, 50, 1), (2, 1))


def test_cells_read_their_weights_for_every_frame():
    layers = {layer.name: layer for layer in plan("lstm-kws-s").plan}
    cells = layers["cells0"]
    assert (cells.layer.kind, cells.layer.batch, cells.layer.macs) == ("linear", 49, (10 + 118) * 4 * 118)
    assert cells.tiling.dma * 8 > 49 * cells.layer.weights  # 8 byte per cycle; 60 kB do not fit into L1
    assert cells.runtime > 0.95 * sum(layer.runtime for layer in layers.values())


def test_weights_of_cells_beyond_the_chip_come_again_for_every_frame():
    cells = plan("gru-kws-l").plan[0]
    assert cells.streaming.mode == "overlapped"
    assert cells.streaming.traffic == 49 * cells.layer.weights == 49 * (410 * 1200 + 1200)
    assert cells.runtime > cells.streaming.traffic / 75e6  # HyperRAM at 1.0 V: 0.75 byte per cycle


def test_what_does_not_fit_a_microcontroller_is_named():
    memory = plan("ecapa-tdnn-1024").memory
    assert not memory.fits
    assert "aggregate.weight" in str(memory.misfits[0])  # 4.7 of 14.7 MB, in 8 MB of HyperRAM


def test_claims_of_efficient_tdnn_follow_from_its_layers():
    verdicts = [v for v in check_claims(["efficient-tdnn"]) if v.status != "not-derivable"]
    assert [v.status for v in verdicts] == ["holds"] * 3
    assert all(v.predicted == pytest.approx(v.published, rel=0.005) for v in verdicts)


def test_products_run_on_matrix_units():
    graph = graph_of(ps.model("ecapa-tdnn-512"))
    work = {unit: sum(op.work(graph.tensors).flops for op in graph.operators if op.unit is unit) for unit in Unit}
    assert work[Unit.TENSOR] == 2 * ps.model("ecapa-tdnn-512").counts().products
    assert work[Unit.TENSOR] > 50 * work[Unit.VECTOR]
