"""How long it takes to read an ONNX graph and to analyse it, once the libraries are loaded.

ResNet-50 and transformer encoders of several depths, written to a temporary file whose weights are only shapes; each
reading starts from the file. *read* is the file without its weights and the inputs; *analyse* adds the operators of
batch 1 and their roofline on one device. Needs ``pip install perfsim[test]``.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perfsim as ps
from perfsim.importers.onnx import model as reading
from tests.onnx_graphs import encoder, mobilenet_v2, resnet50

NETWORKS = {
    "resnet50": resnet50,
    "mobilenet-v2": mobilenet_v2,
    "encoder, 12 layers": lambda: encoder(layers=12, tokens=128),
    "encoder, 32 layers": lambda: encoder(layers=32, tokens=128),
    "encoder, 300 layers": lambda: encoder(layers=300, tokens=128),
}


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median time of ``call`` from an empty cache [s]."""
    times = []
    for _ in range(repeats):
        reading.forget()
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Print a row per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--on", default="a100-sxm4-80gb")
    chosen = parser.parse_args()
    print(f"{'network':22}{'nodes':>8}{'kernels':>9}{'read':>12}{'analyse':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for name, build in NETWORKS.items():
            graph, output = build()
            path = graph.save(folder, output, name=f"{name}.onnx")

            def analyse(path: str = path) -> ps.Prediction:
                prediction = ps.predict(path, ps.SinglePass(dtype="fp16"), on=chosen.on)
                assert prediction.runtime > 0
                return prediction

            kernels = len(analyse().operators)
            read, both = timed(lambda path=path: ps.model(path), chosen.repeats), timed(analyse, chosen.repeats)
            print(f"{name:22}{len(graph.nodes):8}{kernels:9}{1000 * read:9.1f} ms{1000 * both:9.1f} ms")


if __name__ == "__main__":
    main()
