"""Threads over large and small cores, several threads per core, and what a kernel costs on more cores."""

from statistics import median

import pytest

import perfsim as ps
from perfsim.devices import spread
from perfsim.errors import InputError
from perfsim.validation.rows import predict_row, read_rows
from tests.pages import ROOT

CHIPS = {"rk3399": ("rk3399", "rk3399-little"), "rk3588": ("rk3588", "rk3588-little")}


@pytest.mark.parametrize("chip", CHIPS)
def test_files_of_all_cores_follow_from_both_kinds(chip):
    mixed = spread(*(ps.device(name) for name in CHIPS[chip]))
    listed = ps.device(f"{chip}-all")
    for path in ("compute.vector.fp32", "compute.vector.int8", "memory.main.bandwidth", "units.core"):
        assert mixed.get(path) == pytest.approx(listed.get(path)), path
    assert mixed.base_key == listed.base_key


def test_every_core_counts_as_a_small_one():
    mixed = spread(ps.device("rk3399"), ps.device("rk3399-little"))
    assert mixed.get("compute.vector.fp32") == (2 + 4) * 8 * 1.5e9  # operations per cycle of a Cortex-A53 at its clock
    assert mixed.units == 4  # those that share a cache
    assert spread(ps.device("rk3399")).get("compute.vector.fp32") == ps.device("rk3399").get("compute.vector.fp32")


def test_the_order_of_clusters_does_not_matter():
    one, other = (spread(*(ps.device(n) for n in names)) for names in (CHIPS["rk3399"], CHIPS["rk3399"][::-1]))
    assert one.get("compute.vector.fp32") == other.get("compute.vector.fp32")
    assert one.base_key == other.base_key == "cortex-a53"


def test_no_cluster_is_refused():
    with pytest.raises(InputError) as refusal:
        spread()
    assert str(refusal.value) == "threads over no cluster: expected at least one device"


@pytest.mark.parametrize(("chip", "cores"), [("snapdragon-821", 4), ("snapdragon-855-plus", 4)])
def test_clusters_of_one_kind_run_at_the_slower_clock(chip, cores):
    alone, all_of_them = (ps.device(chip).at(f"{n}-core").get("compute.vector.fp32") for n in (1, cores))
    assert all_of_them < cores * alone


def test_rows_of_threads_over_both_kinds_which_nothing_was_fitted_to():
    rows = [row for row in read_rows(ROOT / "measurements" / "ncnn.csv") if row.device.endswith("-all")]
    errors = {name: [] for name in ("rk3399-all", "snapdragon-810-all", "snapdragon-660-all")}
    for row in rows:
        errors[row.device].append(float(predict_row(row).runtime) / row.value - 1)
    middle = {name: median(abs(e) for e in found) for name, found in errors.items()}
    assert middle["rk3399-all"] <= 0.25
    assert middle["snapdragon-810-all"] <= 0.25
    assert 0.25 < middle["snapdragon-660-all"] < 0.45  # all eight cores of this phone take longer: see docs/edge.md


def test_two_threads_per_core_add_no_arithmetic():
    chip = ps.device("azure-d64s-v6")
    assert chip.at("64-thread").get("compute.vector.fp32") == chip.at("32-core").get("compute.vector.fp32")


def launches(stack, cores):
    """Fixed time of all kernels of a network."""
    device = ps.device("raspberry-pi-4").at(f"{cores}-core")
    phase = ps.predict("mobilenetv2", ps.SinglePass(dtype="fp32"), device, stack=stack).costs[0]
    return sum(cost.launch * count for cost, count in phase.kernels)


def test_launch_contention_by_hand():
    stack = ps.stack("ncnn").replace(launch_contention=0.5)
    assert launches(stack, 4) == pytest.approx(launches(stack, 1) * (1 + 0.5 * 3))
    assert launches(stack.replace(launch_contention=1e-15), 4) == pytest.approx(launches(stack, 1))


def test_products_that_are_no_convolutions_have_a_rate_of_their_own():
    def computing(model, share):
        stack = ps.stack("ncnn").replace(product_efficiency=share, attention_efficiency=0.5)
        phase = ps.predict(model, ps.SinglePass(dtype="fp32"), "raspberry-pi-4", stack=stack).costs[0]
        kinds = dict.fromkeys(("linear", "conv"), 0.0)
        for cost, count in phase.kernels:
            if cost.kind in kinds:
                kinds[cost.kind] += cost.compute * count
        return kinds

    half, whole = (computing("vit-base-32-384", share) for share in (0.5, 1))
    assert half["conv"] == whole["conv"]
    assert half["linear"] == pytest.approx(2 * whole["linear"], rel=0.001)  # all but the classifier and the additions
    assert computing("vgg16", 0.5) == computing("vgg16", 1)  # one row each: the weights are what takes time
