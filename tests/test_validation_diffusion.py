"""Diffusion and FasterTransformer: sizes of SANA and HunyuanDiT, the suites' errors, sparse ceilings, refits."""

import pytest

import perfsim as ps
from perfsim.architectures import ImageStep
from perfsim.errors import InputError
from perfsim.graph import check
from perfsim.plots.roofline_parts import roofline_data
from perfsim.quantities.dtypes import DTYPES
from perfsim.validation.files import FITS, file_problem
from perfsim.validation.power import PRESENT, Shares, power_report
from perfsim.validation.rows import predict_row, read_rows
from perfsim.validation.suites import run_suite

BF16 = DTYPES["bf16"]


def linear(inputs, outputs, bias=True):
    return inputs * outputs + outputs * bias


def sana_parameters(depth):
    h, middle = 2240, 5600
    attention = 3 * h * h + linear(h, h) + 2 * h  # queries, keys, values without biases; two norms over all heads
    cross = 4 * linear(h, h) + 2 * h
    local = linear(h, 2 * middle) + 2 * middle * 9 + 2 * middle + middle * h
    ends = linear(32, h) + linear(256, h) + linear(h, h) + linear(h, 6 * h)
    text = linear(2304, h) + linear(h, h) + h
    return depth * (attention + cross + local + 6 * h) + ends + text + 2 * h + linear(h, 32)


@pytest.mark.parametrize(("name", "depth"), [("sana-1.5-1.6b", 20), ("sana-1.5-4.8b", 60)])
def test_sana_by_hand(name, depth):
    assert ps.model(name).parameters == sana_parameters(depth)  # 1.6046 and 4.72 thousand million


def test_hunyuan_layers_by_hand():
    h, dim = 1408, 88
    attention = 4 * linear(h, h) + 4 * dim
    cross = 2 * linear(h, h) + 2 * linear(1024, h) + 4 * dim
    layer = attention + cross + linear(h, 6144) + linear(6144, h) + linear(h, h) + 3 * 2 * h
    skip = 2 * 2 * h + linear(2 * h, h)
    model = ps.model("hunyuan-dit-1.2")
    rest = model.parameters - 40 * layer - 19 * skip
    assert 0.04e9 < rest < 0.08e9  # text, time and pooled embeddings
    assert round(model.parameters / 1e9, 2) == 1.5


@pytest.mark.parametrize("name", ["sana-1.5-1.6b", "hunyuan-dit-1.2"])
def test_graphs_are_legal_and_linear_in_the_batch(name):
    model = ps.model(name)
    for network in (model, model.decoder):
        for attention in ("fused", "naive"):
            one, two = (check(network.graph(ImageStep(n, 1024, BF16, BF16, attention=attention))) for n in (1, 2))
            flops = [sum(op.work(g.tensors).flops * g.count(op) for op in g.operators) for g in (one, two)]
            assert one.parameters == two.parameters
            assert flops[1] == pytest.approx(2 * flops[0], rel=1e-3)


def test_energy_of_diffusion_models_without_a_fit_to_it():
    report = run_suite("diffusion")
    energy = [pair for pair in report.pairs if " energy" in pair.what]
    assert (len(energy), report.skipped) == (36, ())
    assert not any(pair.fitted for pair in energy)
    assert report.statistics(energy)["mape"] < 25


def test_fastertransformer_rows_that_no_fit_has_seen():
    report = run_suite("fastertransformer")
    unseen = [pair for pair in report.pairs if not pair.fitted]
    assert (len(report.pairs), len(unseen), report.skipped) == (317, 221, ())
    assert report.statistics(unseen)["mape"] < 20


def test_power_of_servers_with_the_shares_of_the_catalogue():
    rows = [row for row in read_rows("measurements/vllm-power.csv") if row.model == "qwen3-8b"][:3]
    pairs = [(row, predict_row(row)) for row in rows]
    report = power_report(pairs, PRESENT)
    for pair, (row, p) in zip(report.pairs, pairs, strict=True):
        assert pair.predicted == pytest.approx(p.power)  # the same model as in a prediction
        assert pair.measured == row.value
    more = power_report(pairs, Shares(PRESENT.busy, PRESENT.memory / 2, PRESENT.serving))
    assert all(a.predicted < b.predicted for a, b in zip(more.pairs, report.pairs, strict=True))


def test_fits_name_what_they_can_fit():
    for name in FITS:
        with pytest.raises(InputError, match="is fitted on"):
            file_problem(name, "l40s", "bf16")
    with pytest.raises(InputError, match="no fitted rows"):
        file_problem("diffusion", "h100-sxm5-80gb", "fp32")
    assert len(file_problem("diffusion", "h100-sxm5-80gb", "bf16").parameters) == 3
    assert file_problem("fastertransformer", "t4", "int8").parameters == ("dtype.int8.compute_efficiency",)


def test_sparse_peaks_are_ceilings_on_request():
    device = ps.device("h100-sxm5-80gb")
    dense, both = roofline_data(device), roofline_data(device, sparse=True)
    assert all(ceiling["unit"] != "sparse matrix" for ceiling in dense["devices"][0]["ceilings"])
    sparse = [c for c in both["devices"][0]["ceilings"] if c["unit"] == "sparse matrix"]
    assert [c["peak"] for c in sparse] == [3958e12, 1979e12, 989e12]
    assert both["devices"][0]["ceilings"][0] == sparse[0]
