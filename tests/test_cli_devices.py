"""``perfsim devices``: filters, order, columns, sanity findings, and a clear error for each wrong filter."""

import json

import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.catalog import device_names
from perfsim.cli.device_table import SORTS, entry_of, sorted_by
from perfsim.cli.main import cli
from perfsim.validation.sanity import sanity_report


@pytest.fixture(autouse=True)
def usual_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def run(*arguments):
    result = CliRunner().invoke(cli, ["devices", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(*arguments):
    return json.loads(run(*arguments, "--json"))


def names(*arguments):
    return [row["name"] for row in rows(*arguments)]


def test_filters_by_class_vendor_and_year():
    assert set(names("--class", "tpu")) == {f"tpu-{v}" for v in ("v2", "v3", "v4", "v5e", "v5p", "v6e", "v7")}
    assert names("--vendor", "greenwaves") == ["gap8", "gap9"]
    assert set(names("--class", "tpu", "--class", "fpga")) == {*names("--class", "tpu"), *names("--class", "fpga")}
    assert names("--class", "datacenter-gpu", "--year", "2022") == ["h100-pcie-80gb", "h100-sxm5-80gb"]
    assert names("--vendor", "NVIDIA", "--year", "2025:") == ["rtx-5090"]
    assert all(row["year"] <= 2016 for row in rows("--year", ":2016"))
    dated = [name for name in device_names() if "year" in ps.device(name).data]
    assert set(names("--year", "2000:2100")) == set(dated)  # a device without a year is in no range


def test_filters_by_figures():
    big = rows("--min-bandwidth", "4 TB/s", "--min-capacity", "128 GB")
    assert {row["name"] for row in big} >= {"h200-sxm-141gb", "mi300x", "b200"}
    assert all(row["bandwidth"] >= 4e12 and row["capacity"] >= 128e9 for row in big)
    peak = rows("--min-peak", "2 PFLOP/s", "--dtype", "bf16")
    assert {row["name"] for row in peak} == {"b200", "gb200-nvl72", "mi355x", "tpu-v7"}
    assert rows("--min-capacity", "1 PB") == []
    assert run("--min-capacity", "1 PB").startswith("0 devices: ")


def test_figures_of_a_row():
    (row,) = rows("h100-sxm5-80gb")
    assert (row["dtype"], row["peak"]) == ("bf16", 989e12)
    assert row["ridge_point"] == pytest.approx(989 / 3.35)
    assert row["price_per_peak"] == pytest.approx(6.88 / 3600 / 989e12)  # USD/FLOP
    (row,) = rows("h100-sxm5-80gb", "--dtype", "fp32")
    assert row["peak"] == 67e12  # of the vector unit: tf32 is another format
    (row,) = rows("gap8")
    assert (row["dtype"], row["operating_points"]) == ("int8", ["1.0V", "1.2V"])
    (row,) = rows("t4", "--dtype", "bf16")
    assert (row["peak"], row["ridge_point"], row["price_per_peak"]) == (None, None, None)


@pytest.mark.parametrize("key", SORTS)
def test_order(key):
    value, descending = SORTS[key]
    entries = sorted_by([entry_of(ps.device(name)) for name in device_names()], key)
    known = [value(entry) for entry in entries if value(entry) is not None]
    assert known == sorted(known, reverse=descending)
    assert all(value(entry) is None for entry in entries[len(known) :])
    turned = sorted_by(entries, key, reverse=True)
    assert [value(entry) for entry in turned][: len(known)] == known[::-1]
    assert all(value(entry) is None for entry in turned[len(known) :])


def test_order_on_the_command_line():
    assert names("--sort", "peak")[0] == "cerebras-wse3"
    assert names("--sort", "price", "--class", "datacenter-gpu")[0] == "t4"
    assert names("--sort", "price", "--class", "datacenter-gpu", "--reverse")[0] == "b200"
    assert names("--sort", "price-per-peak")[0] == "gh200"


def test_the_table_fits_and_marks_what_is_unverified():
    text = run("--vendor", "NVIDIA", "--year", ":2017")
    assert max(len(line) for line in text.splitlines()) <= 120
    title, _, head, _, *body = text.splitlines()
    assert title == ("2 devices: dense peak, main memory, ridge point, power, price and price per PFLOP/s")
    columns = ["name", "class", "year", "FLOP/s", "B/s", "B", "FLOP/B", "W", "USD/h", "per", "PF/s"]
    assert head.split() == columns
    assert " ".join(body[0].split()) == "v100-sxm2-16gb datacenter-gpu 2017 125 T fp16 900 G 17.2 G 139 300? 3.06 24.5"
    every = run()
    assert all(f" {name} " in every for name in device_names())  # no name is folded


def test_unverified_values_are_counted():
    text = run("v100-sxm2-16gb", "--unverified")
    device = ps.device("v100-sxm2-16gb")
    unverified = sum(datum.status == "unverified" for datum in device.data.values())
    assert text.split()[-1] == f"{unverified}/{len(device.data)}"


def test_default_prices_are_list_prices_on_demand():
    """The first offer is the default: of AWS on demand where a source gives one."""
    first = {name: next(iter(ps.device(name).offers)) for name in device_names() if ps.device(name).offers}
    assert first == {
        "a100-sxm4-40gb": "aws-p4d", "a100-sxm4-80gb": "aws-p4de", "a10g": "aws-g5", "b200": "aws-p6-b200",
        "gh200": "lambda-gh200", "graviton3": "aws-c7g", "h100-sxm5-80gb": "aws-p5", "h200-sxm-141gb": "aws-p5en",
        "inferentia2": "hf-aws-inf2", "l4": "aws-g6", "l40s": "aws-g6e", "mi300x": "azure-nd96-mi300x",
        "t4": "aws-g4dn", "tpu-v4": "gcp-list", "tpu-v5e": "hf-gcp-v5e", "tpu-v5p": "gcp-list",
        "tpu-v6e": "gcp-v6e-8", "trainium1": "aws-trn1", "v100-sxm2-16gb": "aws-p3", "v100-sxm2-32gb": "helm-2023",
    }  # fmt: skip


WISH = """
name = "H100 with more of everything"
base = "h100-sxm5-80gb"
[compute.tensor]
bf16 = { value = "1979 TFLOP/s", source = "me" }
[memory.hbm]
capacity = { value = "96 GiB", source = "me" }
[sources.me]
title = "A wish"
"""


def test_composed_devices_are_filtered_and_checked(tmp_path):
    file = tmp_path / "wish.toml"
    file.write_text(WISH, encoding="utf-8")
    assert names(str(file), "h100-sxm5-80gb", "--min-capacity", "90 GB") == ["wish"]
    assert names(str(file), "h100-sxm5-80gb", "--sort", "peak") == ["wish", "h100-sxm5-80gb"]
    (row,) = rows(str(file))
    assert (row["vendor"], row["class"], row["year"]) == ("NVIDIA", "datacenter-gpu", 2022)
    found = rows(str(file), "--check")
    assert {f["rule"] for f in found} == {
        "sparse-twice-dense", "equal-widths", "ridge-point", "dense-per-sm", "power-per-peak",
    }  # fmt: skip
    assert all(f["reason"] == "" for f in found)
    text = run(str(file), "--check")
    assert text.startswith("5 findings on 1 device by 18 rules, 5 without a reason\n\nwish: sparse-twice-dense (error)")
    assert "No reason is recorded" in text


def test_check_lists_findings_with_their_reasons():
    found = rows("--check")
    assert [f["device"] for f in found] == [f.device for f in sanity_report()]
    assert set(found[0]) == {"device", "rule", "severity", "path", "what", "expected", "reason"}
    text = run("--check", "--class", "tpu")
    assert text.startswith("4 findings on 7 devices by 18 rules, 0 without a reason\n")
    assert "tpu-v6e: ridge-point (outlier): compute.tensor.bf16: ridge point 559.8 FLOP/byte" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "gpu"], 'unknown device class "gpu"; did you mean consumer-gpu, datacenter-gpu or edge-gpu?'),
        (["--vendor", "nvidea"], 'unknown vendor "nvidea"; did you mean nvidia?'),
        (["--year", "2023:2020"], '--year "2023:2020": the range is empty, expected the earlier year first'),
        (["--year", "new"], '--year "new": expected a year or a range such as 2020:2023, 2020: or :2023'),
        (["--dtype", "bf61"], 'unknown dtype "bf61"; did you mean bf16, fp6 or fp64?'),
        (["--sort", "prise"], 'unknown sort key "prise"; did you mean price or ridge?'),
        (["--min-peak", "1 TB/s"], '--min-peak: "1 TB/s" is [byte/s], expected [FLOP/s]'),
        (["--min-bandwidth", "1 TB"], '--min-bandwidth: "1 TB" is [byte], expected [byte/s]'),
        (
            ["--min-capacity", "big"],
            '--min-capacity: "big" is not a quantity; expected a number and a unit, e.g. "3.35 TB/s"',
        ),
        (["h100"], 'unknown device "h100"; did you mean h100-pcie-80gb, h100-sxm5-80gb or gh200? '
                   "List them with: perfsim devices"),
    ],
)  # fmt: skip
def test_wrong_filters(arguments, message):
    for extra in ([], ["--json"], ["--check"]):
        result = CliRunner().invoke(cli, ["devices", *arguments, *extra])
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"perfsim: {message}\n")


def test_show_lists_operating_points_and_exceptions():
    result = CliRunner().invoke(cli, ["show", "device", "gap9", "--json"])
    data = json.loads(result.stdout)
    assert {row["point"] for row in data["operating_points"]} == {"0.65V", "0.80V"}
    row = next(r for r in data["operating_points"] if r["path"] == "clock.cluster")
    assert (row["value"], row["unit"], row["status"]) == (240e6, "1/s", "vendor")
    assert [e["rule"] for e in data["exceptions"]] == ["peak-from-units"]
    text = CliRunner().invoke(cli, ["show", "device", "gap9"]).stdout
    assert "operating points, e.g. --set device.operating_point=0.65V" in text
    assert "exceptions" in text
    assert "operating points" not in CliRunner().invoke(cli, ["show", "device", "t4"]).stdout


def test_an_operating_point_on_the_command_line():
    call = ["predict", "gpt2", "--on", "jetson-orin-nano", "--task", "decode", "--context-length", "64"]
    call += ["--dtype", "fp16", "--json"]
    runtimes = {}
    for point in ("15W", "25W"):
        result = CliRunner().invoke(cli, [*call, "--set", f"device.operating_point={point}"])
        runtimes[point] = json.loads(result.stdout)["runtime"]
    assert runtimes["25W"] == pytest.approx(runtimes["15W"] * 68 / 102, rel=1e-3)
    result = CliRunner().invoke(cli, [*call, "--set", "device.operating_point=30W"])
    assert (result.exit_code, result.stderr) == (
        2, 'perfsim: unknown operating point of device jetson-orin-nano "30W"; known: 15W, 25W, 7W\n'
    )  # fmt: skip
