"""Statistics of predicted against measured."""

import json
import math

import numpy as np
import pytest
import scipy.stats
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from perfsim.cli.main import cli
from perfsim.validation.report import Pair, Report, kendall_tau, report_of

VALUES = st.floats(0.01, 100, allow_nan=False)
FEW = st.integers(1, 5).map(float)


def pair(predicted, measured, device="d", model="m", fitted=False):
    return Pair(device, model, f"{predicted}", predicted, measured, fitted)


@given(st.lists(st.tuples(FEW, FEW), min_size=2, max_size=30))
def test_kendall_equals_scipy_with_many_ties(rows):
    a, b = zip(*rows, strict=True)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(kendall_tau(a, b))
    else:
        assert kendall_tau(a, b) == pytest.approx(scipy.stats.kendalltau(a, b).statistic, abs=1e-12)


def test_kendall_by_hand():
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1
    assert kendall_tau([1, 2, 3], [30, 20, 10]) == -1
    assert kendall_tau([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)  # pairs: 2 agree, 1 does not; (2 - 1) / 3
    assert math.isnan(kendall_tau([1], [1]))
    assert math.isnan(kendall_tau([], []))


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_equal_numpy(rows, share):
    report = report_of("s", (pair(p, m) for p, m in rows))
    ratios, errors = [m / p for p, m in rows], [100 * abs(p / m - 1) for p, m in rows]
    expected = np.quantile(ratios, [share / 2, 1 - share / 2])
    assert report.ratio_quantiles(share / 2, 1 - share / 2) == pytest.approx(tuple(expected), rel=1e-9)
    numbers = report.statistics()
    assert numbers["mdape"] == pytest.approx(np.median(errors), rel=1e-9, abs=1e-9)
    assert numbers["p90"] == pytest.approx(np.quantile(errors, 0.9), rel=1e-9, abs=1e-9)
    assert numbers["mape"] == pytest.approx(np.mean(errors), rel=1e-9, abs=1e-9)


def test_statistics_by_hand():
    report = report_of("s", [pair(1.1, 1.0), pair(1.6, 2.0), pair(3.0, 3.0)])
    numbers = report.statistics()
    assert numbers["rows"] == 3
    assert numbers["mape"] == pytest.approx((10 + 20 + 0) / 3)  # +10 %, -20 %, 0 %
    assert numbers["mdape"] == pytest.approx(10)
    assert numbers["bias"] == pytest.approx((10 - 20 + 0) / 3)
    assert numbers["p90"] == pytest.approx(18)  # 0.8 of the way from 10 to 20: place 0.9·2 = 1.8
    assert numbers["kendall"] == 1


def test_no_rows_give_no_numbers():
    numbers = Report("s", ()).statistics()
    assert numbers.pop("rows") == 0
    assert all(math.isnan(value) for value in numbers.values())


def test_groups_keep_fitted_rows_apart():
    report = report_of("s", [pair(1, 1, "a"), pair(1, 2, "a", fitted=True), pair(2, 1, "b"), pair(3, 2, "a")])
    assert [(d, m, f, len(pairs)) for d, m, f, pairs in report.groups()] == [
        ("a", "m", False, 2), ("a", "m", True, 1), ("b", "m", False, 1)
    ]  # fmt: skip


def test_worst_rows_come_first():
    report = report_of("s", [pair(1.1, 1), pair(0.2, 1), pair(1.5, 1)])
    assert [p.predicted for p in report.worst(2)] == [0.2, 1.5]  # errors 80 %, 50 %, then 10 %


def test_keys_of_the_json_document():
    document = report_of("s", [pair(1.1, 1.0), pair(1.9, 2.0)], ["row 3: unknown device"]).to_dict()
    assert list(document) == ["suite", "rows", "mape", "mdape", "bias", "p90", "kendall", "by", "worst", "skipped"]
    assert document["by"] == [{"device": "d", "model": "m", "rows": 2, "mape": pytest.approx(7.5), "fitted": False}]
    assert list(document["worst"][0]) == ["device", "model", "what", "predicted", "measured"]
    assert document["skipped"] == ["row 3: unknown device"]
    assert json.loads(json.dumps(document)) == document


HEADER = "source,device,stack,model,task,dtype,batch,prompt_tokens,output_tokens,metric,value\n"
ROW = "own,l4,ideal,gpt2,inference,bf16,1,128,16,runtime,0.1\n"


@pytest.mark.parametrize(
    ("known", "unknown", "message"),
    [
        (
            "gpt2", "gtp2",
            'gtp2 on l4: unknown model "gtp2"; did you mean gpt2 or gpt2-xl? List them with: perfsim models',
        ),
        ("l4", "l44", 'gpt2 on l44: unknown device "l44"; did you mean l4 or l40s? List them with: perfsim devices'),
    ],
)  # fmt: skip
def test_a_row_that_names_something_unknown_is_refused(tmp_path, known, unknown, message):
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + ROW + ROW.replace(known, unknown))
    found = CliRunner().invoke(cli, ["validate", "--file", str(file)])
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr == f"perfsim: {file}:3: {message}\n"


def test_a_row_that_cannot_be_predicted_is_listed_and_no_rank_is_a_dash(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + ROW + ROW.replace("gpt2", "vgg16"))
    found = CliRunner().invoke(cli, ["validate", "--file", str(file)])
    assert found.exit_code == 0
    assert found.stderr == (
        "not predicted: vgg16 on l4, inference runtime, batch 1, 1 device(s), ideal: vgg16 is a vision model, but "
        "Inference needs a language model; use SinglePass\n"
    )
    assert "nan" not in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if line.split()[:2] == ["l4", "gpt2"] and "unseen" in line]
    assert line.split()[-2] == "-"
