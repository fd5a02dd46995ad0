"""Vision networks in onnxruntime on one thread: rows of measurements/onnxruntime-cpu.csv, best of many runs.

A busy machine only ever makes a run slower, so the least of many short turns is what the idle machine needs. Turns go
round the networks and the machine's own rates (matrix products, copies) in random order; two halves of the turns are
kept apart, and the last column says how far their least times differ.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import cache

from own_machine import inference

from perfsim.validation.calibrate_cpu import cpu_cases
from perfsim.validation.calibrate_host import use_threads

NETWORKS = (
    "resnet18", "resnet34", "resnet50", "mobilenetv1", "mobilenetv1-0.5-160", "mobilenetv2", "mobilenetv2-0.5",
    "mobilenetv3-large", "squeezenet-1.0", "squeezenet-1.1", "efficientnet-b0", "efficientnet-lite0", "vgg16",
    "mnasnet-b1", "googlenet", "regnetx-400mf", "resnext50-32x4d", "fbnet-c",
)  # fmt: skip
TURN = 0.25
"""Time of one turn of a network [s]."""


def least(work: Callable[[], object], seconds: float) -> float:
    """Least time of runs for so many seconds, behind a first one that brings the data back [s]."""
    work()
    best, start = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=200.0, help="for everything (default 200)")
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="catalogue names")
    chosen = parser.parse_args()
    use_threads(1)
    networks = {name: cache(lambda name=name: inference(name, 1, 1)) for name in chosen.networks}
    machine = {case.name: case for case in cpu_cases(1)}
    halves = {name: [float("inf")] * 2 for name in (*networks, *machine)}
    start, turn = time.perf_counter(), 0
    while turn < 2 or time.perf_counter() - start < chosen.seconds:
        for name in random.sample(list(halves), len(halves)):
            work = networks[name]() if name in networks else machine[name].prepare()
            halves[name][turn % 2] = min(halves[name][turn % 2], least(work, TURN))
        turn += 1
    print(f"{turn} turns; least time, and how far two halves of the turns differ")
    for name, times in halves.items():
        best, apart = min(times), max(times) / min(times) - 1
        rate = f"{machine[name].amount / best / 1e9:8.2f} G/s" if name in machine else ""
        print(f"{name:24s} {1e3 * best:9.4g} ms {rate}  {100 * apart:.1f} %")


if __name__ == "__main__":
    main()
