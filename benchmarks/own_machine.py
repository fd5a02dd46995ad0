"""ResNet-50 and MobileNetV2 in onnxruntime on this machine: predicted against measured.

The machine is measured as by ``perfsim calibrate``, in turns with the networks, so that both see the same moments of
a machine whose speed changes; ``--device my-machine.toml`` takes an earlier measurement instead.

The networks are perfsim's own graphs, written as ONNX with random weights. The prediction knows the device and the
stack ``onnxruntime-cpu``, whose numbers come from single operators of other shapes; nothing is fitted to the networks.
Every inference is timed between two probes (small matrix products); only those with fast probes count.
"""

import argparse
import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import perfsim as ps
from perfsim.architectures import ImageStep, VisionModel
from perfsim.catalog import device as find_device
from perfsim.devices import Device
from perfsim.graph import Operator, OperatorGraph, Role
from perfsim.quantities.dtypes import DTYPES
from perfsim.validation.calibrate_cpu import cpu_cases, cpu_probe
from perfsim.validation.calibrate_device import device_toml
from perfsim.validation.calibrate_host import read_host, use_threads
from perfsim.validation.calibrate_machine import machine_of
from perfsim.validation.calibrate_sampling import Case, Reading, Sampler

NETWORKS = ("resnet50", "mobilenetv2")
BATCHES = (1, 8)
STACK = "onnxruntime-cpu"


def library(name: str) -> Any:
    """A library that only this benchmark needs."""
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(f"own_machine.py needs {name}, which is not installed; install it with: pip install onnx onnxruntime")


def unrolled(graph: OperatorGraph) -> Iterator[tuple[Operator, dict[str, str]]]:
    """Operators one after the other with the names of their tensors; repeated regions are written out."""
    current: dict[str, str] = {}
    for region, group in groupby(graph.operators, key=lambda op: op.region):
        operators = list(group)
        made = {name for op in operators for name in op.outputs}
        outer = {n for op in operators for n in op.inputs if n not in made and graph.tensors[n].role is Role.ACTIVATION}
        for turn in range(int(graph.regions[region]) if region else 1):
            names = dict(current)
            for op in operators:
                for name in (*op.inputs, *op.outputs):
                    if name not in outer and graph.tensors[name].role is not Role.INPUT:
                        names.setdefault(name, name) if not region else names.update({name: f"{name}#{turn}"})
                yield op, names
            last = operators[-1].outputs[0]
            current[last] = names.get(last, last)
            if region and outer:
                (entry,) = outer
                current[entry] = current[last]


def node(op: Operator, names: dict[str, str], graph: OperatorGraph) -> tuple[list[Any], list[tuple[str, str]]]:
    """ONNX nodes of an operator, and the weights that they need: (name in the file, tensor of the graph)."""
    make = library("onnx.helper").make_node
    inputs = [names.get(n, n) for n in op.inputs]
    (output,) = (names.get(n, n) for n in op.outputs)
    weights = [(names.get(n, n), n) for n in op.inputs if graph.tensors[n].role is Role.WEIGHT]
    if op.kind in ("conv", "depthwise-conv", "grouped-conv"):
        groups, *_ = graph.tensors[op.inputs[1]].shape
        pads = [p // 2 for p in op.padding] * 2
        return [make("Conv", inputs, [output], group=groups, strides=list(op.stride), pads=pads)], weights
    if op.kind == "pool":
        kind = {"max": "MaxPool", "mean": "AveragePool"}[op.function]
        pads = [p // 2 for p in op.padding] * 2
        shape = {"kernel_shape": list(op.kernel), "strides": list(op.stride), "pads": pads}
        return [make(kind, inputs, [output], **shape)], weights
    if op.kind == "global-pool":
        whole = f"{output}.map"
        return [make("GlobalAveragePool", inputs, [whole]), make("Flatten", [whole], [output])], weights
    if op.kind == "linear":
        return [make("MatMul", inputs, [output])], weights
    if op.kind == "join":
        return [make("Concat", inputs, [output], axis=1)], weights
    return elementwise(op.function, inputs, output, [graph.tensors[n].shape for n in op.inputs]), weights


def elementwise(function: str, inputs: list[str], output: str, shapes: list[Any]) -> list[Any]:
    """ONNX nodes of an element-wise operator; a gate of one number per channel is spread over the map."""
    make = library("onnx.helper").make_node
    if function == "relu6":
        return [make("Clip", [*inputs, "zero", "six"], [output])]
    if function == "silu":
        return [make("Sigmoid", inputs, [f"{output}.gate"]), make("Mul", [*inputs, f"{output}.gate"], [output])]
    if function == "hardsigmoid":
        return [make("HardSigmoid", inputs, [output], alpha=1 / 6, beta=0.5)]
    if function == "multiply" and len(shapes[0]) != len(shapes[1]):
        spread = make("Unsqueeze", [inputs[1], "map_axes"], [f"{output}.gate"])
        return [spread, make("Mul", [inputs[0], f"{output}.gate"], [output])]
    plain = {"relu": "Relu", "add": "Add", "bias": "Add", "sigmoid": "Sigmoid", "hardswish": "HardSwish"}
    return [make((plain | {"multiply": "Mul"})[function], inputs, [output])]


def onnx_bytes(graph: OperatorGraph) -> bytes:
    """The graph as an ONNX file with random weights."""
    import numpy as np

    onnx, helper = library("onnx"), library("onnx.helper")
    rng, nodes, initializers = np.random.default_rng(0), [], {}
    constants = {
        "zero": np.array(0, dtype=np.float32), "six": np.array(6, dtype=np.float32),
        "map_axes": np.array([2, 3], dtype=np.int64),
    }  # fmt: skip
    output, shape_out = "", []
    for op, names in unrolled(graph):
        made, weights = node(op, names, graph)
        nodes += made
        output, shape_out = made[-1].output[0], list(graph.tensors[op.outputs[0]].shape)
        for name, tensor in weights:
            shape = graph.tensors[tensor].shape
            flat = (shape[0] * shape[1], *shape[2:]) if len(shape) == 5 else shape
            fan = max(1, int(np.prod(flat[1:])))
            initializers[name] = rng.standard_normal(flat, dtype=np.float32) * (2.0 / fan) ** 0.5
    value = helper.make_tensor_value_info
    (image,) = graph.of_role(Role.INPUT)
    body = helper.make_graph(
        nodes, "network", [value(image.name, 1, list(image.shape))], [value(output, 1, shape_out)],
        [onnx.numpy_helper.from_array(v, n) for n, v in (constants | initializers).items()],
    )  # fmt: skip
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def session(data: bytes, threads: int) -> Any:
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def image_graph(name: str, batch: int) -> OperatorGraph:
    network = ps.model(name)
    assert isinstance(network, VisionModel)
    return network.graph(ImageStep(batch, network.image_size, DTYPES["fp32"], DTYPES["fp32"]))


def inference(name: str, batch: int, threads: int) -> Callable[[], object]:
    """One inference of a network, ready to be called."""
    import numpy as np

    graph = image_graph(name, batch)
    engine = session(onnx_bytes(graph), threads)
    (image,) = graph.of_role(Role.INPUT)
    feed = {image.name: np.random.default_rng(1).standard_normal(image.shape, dtype=np.float32)}
    return lambda: engine.run(None, feed)


def network_cases(threads: int) -> list[Case]:
    """The networks at each batch."""
    return [
        Case(f"{name} {batch}", cache(partial(inference, name, batch, threads)), 1.0, True)
        for name in NETWORKS
        for batch in BATCHES
    ]


def measured_device(readings: Mapping[str, Reading], threads: int, seconds: float) -> Device:
    """The device TOML of these readings, as it loads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "this-machine.toml"
        path.write_text(device_toml(machine_of(readings, read_host(threads), seconds), "server-cpu"), encoding="utf-8")
        return find_device(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="device TOML that perfsim calibrate wrote; measured anew if left out")
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime and of the measurement (default 1)")
    parser.add_argument("--seconds", type=float, default=120.0, help="for everything (default 120)")
    chosen = parser.parse_args()
    use_threads(chosen.threads)
    version = library("onnxruntime").__version__
    cases = [*network_cases(chosen.threads), *cpu_cases(chosen.threads)]
    readings = Sampler(cpu_probe(), chosen.seconds).run(cases)
    now = measured_device(readings, chosen.threads, chosen.seconds)
    target = find_device(chosen.device) if chosen.device else now
    print(f"{target.name}, stack {STACK}, onnxruntime {version}, {chosen.threads} thread(s)")
    share = now.peaks("vector")["fp32"] / target.peaks("vector")["fp32"]
    print(f"fp32 {target.data['compute.vector.fp32']}, now {share:.2f} of it; memory {target.bandwidth / 1e9:.3g} GB/s")
    print("network      batch     ideal predicted  measured     least  ratio  runs")
    for name in NETWORKS:
        for batch in BATCHES:
            reading, job = readings[f"{name} {batch}"], ps.SinglePass(batch=batch, dtype="fp32")
            predicted = ps.predict(name, job, on=target, stack=STACK).runtime
            shown = (ps.predict(name, job, on=target).runtime, predicted, 1 / reading.median, 1 / reading.most)
            times = " ".join(f"{1e3 * value:6.2f} ms" for value in shown)
            print(f"{name:12s} {batch:5d} {times}  {predicted * reading.median:5.2f}  {reading.spread}")


if __name__ == "__main__":
    main()
