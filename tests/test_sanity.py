"""The sanity suite: the catalogue passes with reasons, and the known mistakes of other catalogues are caught."""

from collections import Counter

import pytest

import perfsim as ps
from perfsim.catalog import device_names
from perfsim.errors import CatalogError
from perfsim.validation.sanity import RULES, Finding, check_device, sanity_report


@pytest.fixture(scope="module")
def report():
    return sanity_report()


def test_no_finding_is_left_without_a_reason(report):
    assert [f for f in report if not f.reason] == []


def test_findings_per_rule(report):
    assert Counter(f.rule for f in report) == {
        "peak-from-units": 38,  # rated at another clock than the stated one, per number format
        "stack-capacity": 17,  # printed in GB where chips hold GiB, or usable instead of built-in capacity
        "ridge-point": 10,
        "power-per-peak": 6,
        "sparse-twice-dense": 3,
        "binary-prefix": 1,
        "cache-capacity": 1,
        "equal-widths": 1,
        "link-below-memory": 1,
        "measured-below-peak": 1,  # of all cores, at a point with one
    }


def test_every_exception_is_needed_and_has_a_reason():
    exceptions = [(name, e) for name in device_names() for e in ps.device(name).info["exception"]]
    assert len(exceptions) == 43
    assert {e["rule"] for _, e in exceptions} <= set(RULES)
    assert all(len(e["why"]) > 30 for _, e in exceptions)  # stale ones are findings of the rule "exception"


def new_findings(device):
    """Findings that the catalogue's device does not have."""
    old = {(f.rule, f.path, f.what) for f in check_device(ps.device(device.base_key))}
    return [f for f in check_device(device) if (f.rule, f.path, f.what) not in old]


def wrong(name, path, value):
    return {f.rule: f for f in new_findings(ps.device(name).replace(**{path: value})) if not f.reason}


def test_sparse_peak_in_the_dense_column_of_gh200():
    found = wrong("gh200", "compute.tensor.bf16", "1979 TFLOP/s")
    assert found["sparse-twice-dense"] == Finding(
        "gh200", "sparse-twice-dense", "error", "compute.tensor_sparse.bf16",
        "sparse 1.979 PFLOP/s is 1 × dense 1.979 PFLOP/s", "2 × dense",
    )  # fmt: skip
    assert found["ridge-point"] == Finding(
        "gh200", "ridge-point", "outlier", "compute.tensor.bf16",
        "ridge point 494.8 FLOP/byte in 16-bit operations", "100 to 450 FLOP/byte",  # 1979 / 4.0
    )  # fmt: skip
    assert set(found) == {"sparse-twice-dense", "equal-widths", "ridge-point", "price"}


def test_sparse_peak_in_the_dense_column_of_h100():
    found = wrong("h100-sxm5-80gb", "compute.tensor.bf16", "1979 TFLOP/s")
    assert found["dense-per-sm"] == Finding(
        "h100-sxm5-80gb", "dense-per-sm", "error", "compute.tensor.bf16",
        "1.979 PFLOP/s is 7572 FLOP per cycle and SM", "at most 4096",  # 1979e12 / 132 / 1.98e9
    )  # fmt: skip
    assert set(found) == {"sparse-twice-dense", "equal-widths", "ridge-point", "dense-per-sm", "power-per-peak"}


def test_sparse_peaks_without_a_dense_column(write):
    """A catalogue with one column of peaks: 1979 TFLOP/s and nothing to compare it with."""
    file = write(PLAIN.format(peak="1979 TFLOP/s", capacity="96 GiB", bandwidth="4 TB/s"))
    assert sanity_report([file]) == [
        Finding(
            "plain", "ridge-point", "outlier", "compute.tensor.bf16",
            "ridge point 494.8 FLOP/byte in 16-bit operations", "100 to 450 FLOP/byte",
        )
    ]  # fmt: skip


def test_a_peak_above_even_the_sparse_one():
    found = wrong("h100-pcie-80gb", "compute.tensor.fp16", "1600 TFLOP/s")
    assert found["sparse-twice-dense"].what == "sparse 1.513 PFLOP/s is 0.946 × dense 1.6 PFLOP/s"
    assert found["ridge-point"] == Finding(
        "h100-pcie-80gb", "ridge-point", "outlier", "compute.tensor.fp16",
        "ridge point 800 FLOP/byte in 16-bit operations", "100 to 450 FLOP/byte",
    )  # fmt: skip


def test_the_sum_of_engines_as_the_peak_of_one():
    """275 sparse TOPS of GPU and DLA, taken for the dense int8 rate of the GPU."""
    found = wrong("jetson-agx-orin", "compute.tensor.int8", "275 TFLOP/s")
    assert found["sparse-twice-dense"] == Finding(
        "jetson-agx-orin", "sparse-twice-dense", "error", "compute.tensor_sparse.int8",
        "sparse 170 TFLOP/s is 0.618 × dense 275 TFLOP/s", "2 × dense",
    )  # fmt: skip
    assert found["peak-from-units"].path == "compute.tensor.int8"


def test_nvlink_rate_as_memory_bandwidth():
    found = wrong("h100-sxm5-80gb", "memory.hbm.bandwidth", "450 GB/s")
    assert found["link-below-memory"] == Finding(
        "h100-sxm5-80gb", "link-below-memory", "error", "link.nvlink.bandwidth",
        "nvlink 450 GB/s, hbm 450 GB/s", "below the bandwidth of the main memory",
    )  # fmt: skip
    assert found["read-time"] == Finding(
        "h100-sxm5-80gb", "read-time", "outlier", "memory.hbm.bandwidth",
        "85.9 GB at 450 GB/s is read in 190.9 ms", "15 to 60 ms for hbm",  # 85.9 / 0.45
    )  # fmt: skip
    assert set(found) == {"link-below-memory", "read-time", "ridge-point", "measured-below-peak"}


def test_both_directions_of_nvlink_as_memory_bandwidth(write):
    """The H20 of a peer: 148 TFLOP/s and 900 GB/s have a plausible ridge point; the time to read 96 GiB has not."""
    file = write(PLAIN.format(peak="148 TFLOP/s", capacity="96 GiB", bandwidth="900 GB/s"))
    assert sanity_report([file]) == [
        Finding(
            "plain", "read-time", "outlier", "memory.hbm.bandwidth",
            "103.1 GB at 900 GB/s is read in 114.5 ms", "15 to 60 ms for hbm",
        )
    ]  # fmt: skip


def test_bandwidth_of_the_larger_sibling():
    """The 40 GB A100 with the 1935 GB/s of an 80 GB card: more than stacks of HBM2 deliver."""
    assert wrong("a100-sxm4-40gb", "memory.hbm.bandwidth", "1935 GB/s") == {
        "stack-bandwidth": Finding(
            "a100-sxm4-40gb", "stack-bandwidth", "outlier", "memory.hbm.bandwidth",
            "1.935 TB/s over 6 stacks of HBM2", "at most 1.842 TB/s",  # 6 × 307 GB/s
        )
    }  # fmt: skip


def test_80_gib_read_as_80_gb():
    assert wrong("h100-sxm5-80gb", "memory.hbm.capacity", "80 GB") == {
        "stack-capacity": Finding(
            "h100-sxm5-80gb", "stack-capacity", "outlier", "memory.hbm.capacity",
            "80 GB is 74.5058 GiB", "a multiple of 8 GiB",
        ),
        "binary-prefix": Finding(
            "h100-sxm5-80gb", "binary-prefix", "error", "memory.hbm.capacity",
            "80 GB is 1/(2^30/10^9) × the 85.9 GB of the catalogue", "85.9 GB",
        ),
    }  # fmt: skip


def test_bytes_under_a_key_in_gib(write):
    """80 000 000 000 written where GiB are expected switches every capacity check off."""
    file = write(PLAIN.format(peak="989 TFLOP/s", capacity="80000000000 GiB", bandwidth="3.35 TB/s"))
    assert [f.rule for f in sanity_report([file])] == ["read-time"]


@pytest.mark.parametrize("value", [2.189359579136e12, "2189 GB/s"])  # as computed, and as a table prints it
def test_bandwidth_times_a_binary_prefix(value):
    found = new_findings(ps.device("a100-sxm4-80gb").replace(**{"memory.hbm.bandwidth": value}))
    assert found[-1] == Finding(
        "a100-sxm4-80gb", "binary-prefix", "error", "memory.hbm.bandwidth",
        "2.189 TB/s is 2^30/10^9 × the 2.039 TB/s of the catalogue", "2.039 TB/s",
    )  # fmt: skip


def test_bandwidth_times_a_binary_prefix_on_a_chip_that_the_catalogue_does_not_know(write):
    file = write(PLAIN.format(peak="312 TFLOP/s", capacity="80 GiB", bandwidth=f"{2039 * 2**30} B/s"))
    assert sanity_report([file]) == [
        Finding(
            "plain", "binary-prefix", "error", "memory.hbm.bandwidth",
            "2.189359579e+12 is 2.039e+12 × 2^30/10^9", "a decimal prefix (10^3, 10^6, 10^9, 10^12)",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "tera", "shown"), [("a100-sxm4-80gb", 312, "343 TFLOP/s"), ("h100-sxm5-80gb", 989, "1.087 PFLOP/s")]
)
def test_peak_times_a_binary_prefix(name, tera, shown):
    found = wrong(name, "compute.tensor.bf16", tera * 2.0**40)
    assert found["binary-prefix"] == Finding(
        name, "binary-prefix", "error", "compute.tensor.bf16",
        f"{shown} is 2^40/10^12 × the {tera} TFLOP/s of the catalogue", f"{tera} TFLOP/s",
    )  # fmt: skip
    assert {"sparse-twice-dense", "equal-widths"} <= set(found)


def test_peak_times_a_binary_prefix_against_the_units():
    assert wrong("a100-sxm4-80gb", "compute.tensor.bf16", 312 * 2.0**40)["peak-from-units"] == Finding(
        "a100-sxm4-80gb", "peak-from-units", "error", "compute.tensor.bf16",
        "343 TFLOP/s is 2253 at 1.41 GHz or 2901 at 1.095 GHz FLOP per cycle and sm",  # 2048 is right
        "a power of two within 2 %",
    )  # fmt: skip


def test_peak_times_1024_on_a_chip_that_the_catalogue_does_not_know(write):
    file = write(PLAIN.format(peak=f"{989 * 2**40} FLOP/s", capacity="80 GiB", bandwidth="3.35 TB/s"))
    (finding,) = sanity_report([file])
    assert (finding.rule, finding.what) == ("binary-prefix", "1.087417e+15 is 9.89e+14 × 2^40/10^12")


MISTAKES = [
    ("t4", "compute.tensor.int8", "60 TFLOP/s", "narrower-is-faster", "int8 60 TFLOP/s is below fp16 65 TFLOP/s"),
    ("t4", "compute.vector.fp32", "4.07 TFLOP/s", "peak-from-units",
     "4.07 TFLOP/s is 0.9999 at 1.59 GHz or 2.718 at 585 MHz FLOP per cycle and CUDA core"),
    ("a100-sxm4-80gb", "memory.l2.bandwidth", "1 TB/s", "cache-bandwidth", "l2 1 TB/s, hbm 2.039 TB/s"),
    ("a100-sxm4-80gb", "memory.l2.capacity", "90 GiB", "cache-capacity", "l2 96.64 GB, hbm 85.9 GB"),
    ("a100-sxm4-80gb", "measured.compute.tensor.bf16", "330 TFLOP/s", "measured-below-peak",
     "measured 330 TFLOP/s, peak 312 TFLOP/s"),
    ("a100-sxm4-80gb", "power.idle", "410 W", "idle-below-maximum", "idle 410 W, maximum 400 W"),
    ("a100-sxm4-80gb", "power.maximum", "4 kW", "power-per-peak", "0.078 TFLOP/s/W in 16-bit operations at 4 kW"),
    ("a100-sxm4-80gb", "price.aws-p4de", "27.447 USD/h", "price", "27.45 USD/h"),  # of the instance, not the device
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "value", "rule", "what"), MISTAKES)
def test_other_mistakes(name, path, value, rule, what):
    assert wrong(name, path, value)[rule].what.startswith(what)


def test_every_rule_is_shown_to_catch_something():
    shown = {rule for *_, rule, _ in MISTAKES} | {"sparse-twice-dense", "equal-widths", "ridge-point", "dense-per-sm"}
    shown |= {"link-below-memory", "read-time", "stack-bandwidth", "stack-capacity", "binary-prefix", "sourced"}
    assert shown == set(RULES)


PLAIN = """
name = "Plain"
class = "datacenter-gpu"
main_memory = "hbm"
[compute.tensor]
bf16 = {{ value = "{peak}", source = "sheet" }}
[memory.hbm]
capacity = {{ value = "{capacity}", source = "sheet" }}
bandwidth = {{ value = "{bandwidth}", source = "sheet" }}
[sources.sheet]
title = "Some table"
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="plain.toml"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


def test_a_value_that_nobody_read_must_be_marked(write):
    text = PLAIN.format(peak="400 TFLOP/s", capacity="80 GiB", bandwidth="2 TB/s")
    file = write(text.replace("Some table", "Not read in a source; verify before use"))
    findings = sanity_report([file])
    assert [f.path for f in findings] == ["compute.tensor.bf16", "memory.hbm.capacity", "memory.hbm.bandwidth"]
    assert findings[0].what == 'status vendor, source "Not read in a source; verify before use"'


def test_a_stale_and_an_unknown_exception_are_findings(write):
    text = PLAIN.format(peak="400 TFLOP/s", capacity="80 GiB", bandwidth="2 TB/s")
    more = '[[exception]]\nrule = "read-time"\nwhy = "slow"\n[[exception]]\nrule = "red-time"\nwhy = "typing"\n'
    first, second = sanity_report([write(text + more)])
    assert first == Finding(
        "plain", "exception", "error", "*", "exception to read-time: slow", "a finding that needs it"
    )
    assert second.expected == f"one of {', '.join(RULES)}"


def test_a_variant_inherits_exceptions_but_not_for_what_it_changes(write):
    same = write('name = "same"\nbase = "l4"\n', "same.toml")
    assert {(f.rule, bool(f.reason)) for f in sanity_report([same])} == {("peak-from-units", True)}
    text = '[compute.tensor]\nbf16 = { value = "343 TFLOP/s", source = "me" }\n[sources.me]\ntitle = "A wish"\n'
    other = write('name = "other"\nbase = "l4"\n' + text, "other.toml")
    assert ("peak-from-units", False) in {(f.rule, bool(f.reason)) for f in sanity_report([other])}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('rule = "price"', "exception[0].why: is missing, expected the texts rule and why, maybe path"),
        ('rule = 3\nwhy = "x"', "exception[0].rule: is 3, expected the texts rule and why, maybe path"),
        (
            'rule = "price"\nwhy = "x"\nreason = "y"',
            "exception[0].reason: is 'y', expected the texts rule and why, maybe path",
        ),
    ],
)
def test_mistakes_in_an_exception(write, table, message):
    text = PLAIN.format(peak="400 TFLOP/s", capacity="80 GiB", bandwidth="2 TB/s")
    file = write(f"{text}[[exception]]\n{table}\n")
    with pytest.raises(CatalogError) as refusal:
        ps.device(file)
    assert str(refusal.value) == f"{file}: {message}"
