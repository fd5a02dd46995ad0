"""The roofline figure through the data of its artists, against the prediction; how it looks is checked by eye."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from matplotlib import rc_context
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

import perfsim as ps
from perfsim.cli.main import cli
from perfsim.errors import InputError
from perfsim.plots import roofline
from perfsim.plots.kinds import group_colour, group_of
from perfsim.plots.labels import Box, leader, place, spread
from perfsim.plots.roofline import SIZE, roofline_data
from perfsim.plots.roofline_frame import short_names
from perfsim.plots.roofline_points import fills_of, key_of
from perfsim.plots.style import DARK, look_of

H100, A100 = "h100-sxm5-80gb", "a100-sxm4-80gb"
JOB = ps.Inference(prompt_tokens=512, output_tokens=16, batch=8, dtype="bf16")


def axes():
    return Figure(figsize=SIZE, layout="constrained").subplots()


@pytest.fixture(scope="module")
def p():
    return ps.predict("llama-3.1-8b", JOB, on=H100, stack="vllm")


@pytest.fixture(scope="module")
def drawn(p):
    ax = axes()
    assert roofline(p, ax=ax) is ax
    return ax


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def points(ax):
    return {c.get_label(): c for c in ax.collections if isinstance(c, PathCollection)}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_every_kernel_with_work_and_traffic_is_a_point(p, drawn):
    assert set(points(drawn)) == {"_prefill", "_decode"}
    for phase in ("prefill", "decode"):
        collection = points(drawn)["_" + phase]
        rows = [row for row in p.operators if row.phase == phase and row.flops and row.traffic]
        rows.sort(key=lambda row: -row.runtime)  # the large ones lie below
        assert [tuple(xy) for xy in collection.get_offsets().tolist()] == [
            (row.operational_intensity, pytest.approx(row.performance)) for row in rows
        ]
        areas = [max(1400 * row.runtime / p.runtime, 9) for row in rows]
        assert collection.get_sizes().tolist() == pytest.approx(areas)


def test_performance_is_work_over_time_of_one_device(p):
    two = ps.predict("llama-3.1-8b", JOB, on=H100, count=2)
    for result, devices in ((p, 1), (two, 2)):
        for row in result.operators:
            if row.flops:
                assert row.performance == pytest.approx(row.flops / devices / row.runtime)


def test_no_point_lies_above_its_roof():
    ideal = ps.predict("llama-3.1-8b", JOB, on=H100)
    device = ideal.system.device
    for row in roofline_data(ideal)["kernels"]:
        roof = min(device.bandwidth * row["operational_intensity"], device.peaks("tensor")["bf16"])
        assert row["performance"] <= roof * 1.001


def test_memory_levels_rise_with_their_bandwidth_to_the_highest_peak(drawn):
    device = ps.device(H100)
    for level in ("hbm", "l2", "l1"):
        xs, ys = lines(drawn)[f"_{H100} {level}"].get_data()
        assert list(ys / xs) == pytest.approx([device.get(f"memory.{level}.bandwidth")] * 2)
        assert ys[1] == pytest.approx(device.peaks("tensor")["fp8_e4m3"])
    assert lines(drawn)[f"_{H100} hbm"].get_linestyle() == "-"
    assert lines(drawn)[f"_{H100} l2"].get_linestyle() == "--"


def test_peaks_are_level_lines_and_the_used_ones_are_thick(drawn):
    device = ps.device(H100)
    for unit, dtype, thick in (("matrix", "bf16", True), ("vector", "fp16", True), ("matrix", "fp8_e4m3", False)):
        line = lines(drawn)[f"_{H100} {unit} {dtype}"]
        peak = device.peaks("tensor" if unit == "matrix" else "vector")[dtype]
        assert list(line.get_ydata()) == [peak, peak]
        assert (line.get_linewidth() > 1) is thick
    assert "matrix bf16, fp16: 989 TFLOP/s" in texts(drawn)
    assert "matrix fp8, int8: 1979 TFLOP/s" in texts(drawn)


def test_scales_are_logarithmic_and_named(drawn):
    assert (drawn.get_xscale(), drawn.get_yscale(), drawn.get_aspect()) == ("log", "log", 1.0)
    assert drawn.get_xlabel() == "operational intensity at main memory [FLOP/byte]"
    assert drawn.get_ylabel() == "performance of one device [TFLOP/s]"
    formatter = drawn.yaxis.get_major_formatter()
    assert [formatter(value, 0) for value in (1e10, 1e12, 1e15)] == ["0.01", "1", "1000"]
    assert drawn.get_title(loc="left") == (
        f"llama-3.1-8b on 1 × {H100} under vllm\ninference, batch 8, dtype bf16, prompt tokens 512, output tokens 16"
    )


def boxes(ax, artists):
    ax.figure.draw_without_rendering()
    return [artist.get_window_extent() for artist in artists]


def test_the_legend_lies_outside_the_axes_and_says_what_is_missing(p, drawn):
    ((box,), inside) = boxes(drawn, [drawn.get_legend()]), drawn.get_window_extent()
    assert box.y1 < inside.y0
    hidden = sum(row.runtime for row in p.operators if not (row.flops and row.traffic)) / p.runtime
    title = drawn.get_legend().get_title().get_text()
    assert title == f"not shown, without FLOPs or traffic: {100 * hidden:.1f} %, most of it host"


CASES = {
    "inference": lambda: ps.predict("llama-3.1-8b", JOB, on=H100, stack="vllm"),
    "decode": lambda: ps.predict("llama-3.1-8b", ps.Decode(context_length=4096, batch=16), on=H100, stack="vllm"),
    "two devices": lambda: [ps.device(A100), ps.device(H100)],
    "two predictions": lambda: [ps.predict("llama-3.1-8b", JOB, on=name) for name in (A100, H100)],
    "chip": lambda: ps.device("gap8"),
}


@pytest.mark.parametrize("name", CASES)
def test_no_text_lies_on_another_or_outside_the_figure(name):
    ax = axes()
    roofline(CASES[name](), ax=ax)
    level = [text for text in ax.texts if text.get_rotation() == 0]
    ax.figure.draw_without_rendering()
    found = [Text.get_window_extent(text).padded(-1) for text in level]  # without the line to the point
    for index, (text, box) in enumerate(zip(level, found, strict=True)):
        others = [o.get_text() for o, b in zip(level[:index], found, strict=False) if box.overlaps(b)]
        assert others == [], text.get_text()
        assert ax.figure.bbox.x0 <= box.x0 < box.x1 <= ax.figure.bbox.x1, text.get_text()


def test_several_devices_have_colours_names_and_a_legend():
    ax = axes()
    roofline([ps.device(A100), ps.device(H100)], ax=ax)
    assert lines(ax)[f"_{A100} hbm"].get_color() != lines(ax)[f"_{H100} hbm"].get_color()
    assert {"a100 hbm 2.039 TB/s", "h100 hbm 3.35 TB/s", "a100 matrix bf16, fp16: 312 TFLOP/s"} <= set(texts(ax))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        f"{A100}: NVIDIA A100 SXM4 80GB", f"{H100}: NVIDIA H100 SXM5 80GB",
    ]  # fmt: skip
    assert points(ax) == {}


def test_the_look_follows_the_paper():
    ink = []
    for settings in ({}, DARK):
        with rc_context({**settings}):
            ax = axes()
            roofline(ps.device(H100), ax=ax)
            ink.append(lines(ax)[f"_{H100} hbm"].get_color())
            assert look_of(ax).dark is bool(settings)
    assert ink == ["#111111", "#e8e8e8"]


@pytest.fixture(scope="module")
def training():
    job = ps.Training(global_batch=8, sequence=128, dtype="fp32")
    return ps.predict("gpt2", job, on=A100, stack="megatron")


def test_a_backward_kernel_has_the_colour_of_its_operator(training):
    look = look_of(axes())
    fills = fills_of(roofline_data(training), look)
    assert {"linear", "linear-backward", "norm-backward"} <= {row.kind for row in training.operators}
    assert list(fills) == ["matrix product", "attention, scan", "norm", "element-wise", "layout and other"]
    assert len(set(fills.values())) == 5
    assert key_of(roofline_data(training), {"kind": "linear-backward"}) == "matrix product"
    assert fills["matrix product"] == group_colour("matrix product", look)  # as in all other figures


def test_the_bubble_of_a_pipeline_is_not_the_host():
    look = look_of(axes())
    assert (group_of("bubble"), group_of("host")) == ("pipeline bubble", "host")
    assert len({group_colour(group, look) for group in ("pipeline bubble", "host", "link")}) == 3


def test_labels_say_the_phase_and_only_the_ceiling_of_the_format_is_used(training):
    ax = axes()
    roofline(training, ax=ax)
    named = [text for text in texts(ax) if text.endswith(" %")]
    phases = [phase.name for phase in training.costs]
    assert named
    assert all(text.partition(": ")[0] in phases for text in named)
    used = [c for c in roofline_data(training)["devices"][0]["ceilings"] if c["used"]]
    assert [(c["unit"], c["formats"]) for c in used] == [("vector", ["fp32"])]  # fp64 has the same peak


def test_what_cannot_be_drawn_is_refused():
    for given, message in (
        ([], "roofline: an empty list, expected devices or predictions"),
        ("t4", "roofline: str given, expected a Device or a Prediction"),
        (ps.device("google-tensor-g3"), "roofline: no source gives a compute peak of device google-tensor-g3"),
    ):
        with pytest.raises(InputError) as error:
            roofline_data(given)
        assert str(error.value) == message


def test_equal_devices_are_drawn_once_and_changed_ones_apart(p):
    other = ps.predict("llama-3.1-8b", JOB, on=H100, what_if={"device.memory.hbm.bandwidth": "x2"})
    assert [d["name"] for d in roofline_data([p, ps.device(H100), other])["devices"]] == [H100, f"{H100} (2)"]


def test_short_names():
    assert short_names([H100, A100]) == ["h100", "a100"]
    assert short_names(["rtx-3090", "rtx-4090", H100]) == ["rtx-3090", "rtx-4090", "h100"]
    assert short_names(["h100-sxm5-80gb", "h100-pcie-80gb"]) == ["h100-sxm5", "h100-pcie"]


def test_spreading_keeps_order_and_distance():
    assert spread([5.0, 1.0], 1.0, 0.0, 10.0) == [5.0, 1.0]
    assert spread([5.0, 5.0], 1.0, 0.0, 10.0) == [4.5, 5.5]
    assert spread([0.0, 0.1, 0.2], 1.0, 0.0, 10.0) == pytest.approx([0.0, 1.0, 2.0])  # 1 apart, none below 0
    assert spread([], 1.0, 0.0, 10.0) == []
    assert spread([1.0, 9.0], [4.0, 6.0], 0.0, 10.0) == [2.0, 7.0]  # extents of 4 and 6 side by side fill 10
    assert spread([9.0, 1.0], [4.0, 2.0], 0.0, 10.0) == [8.0, 1.0]


def test_a_label_that_could_be_of_another_point_gets_a_line():
    room, anchor = Box(0, 0, 200, 200), (100.0, 100.0)
    alone, far = place(anchor, (20, 10), 4, [], room, lambda _: 0, [anchor])
    assert not far
    beside = (alone.right + 1, 100.0)
    taken = [Box(beside[0] - 3, 97, beside[0] + 3, 103)]
    box, far = place(anchor, (20, 10), 4, taken, room, lambda _: 0, [anchor, beside])
    assert far or box.right < 100  # on the other side, or with a line
    ring = [(100 + 40 * x, 100 + 25 * y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    assert place(anchor, (60, 10), 4, [], room, lambda _: 0, [anchor, *ring])[1]


def test_a_label_keeps_off_the_lines_of_others():
    anchor, room = (50.0, 50.0), Box(0, 0, 100, 100)
    first, _ = place(anchor, (20, 10), 4, [], room, lambda _: 0)
    line = leader((first.left, 0.0), first)
    assert all(not spot.inside(first) for spot in line)
    across = [Box(x, 49.5, x + 1, 50.5) for x in range(52, 100)]
    second, _ = place(anchor, (20, 10), 4, [], room, lambda _: 0, leaders=[across])
    assert not any(spot.overlaps(second) for spot in across)


def test_a_label_avoids_what_is_taken():
    room = Box(0, 0, 100, 100)
    first, far = place((50, 50), (20, 10), 5, [], room, lambda _: 0)
    assert (first.left, far) == (57.5, False)  # right of the point: 50 + 5 + 10 / 4
    second, _ = place((50, 50), (20, 10), 5, [first], room, lambda _: 0)
    assert second.inside(room)
    assert not second.overlaps(first)


# command line


def run(*arguments):
    return CliRunner().invoke(cli, ["plot", *map(str, arguments)])


def test_json_is_the_drawn_data(p):
    result = run("roofline", "llama-3.1-8b", "--on", H100, "--stack", "vllm", "--batch", 8, "--prompt-tokens", 512,
                 "--output-tokens", 16, "--dtype", "bf16", "--json")  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == json.loads(json.dumps(roofline_data(p)))


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_files_are_whole_and_the_same_every_time(tmp_path, suffix, start):
    path = tmp_path / f"figure.{suffix}"
    contents = []
    for _ in range(2):
        result = run("roofline", "--on", A100, "--on", H100, "-o", path, "--dark")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"perfsim: figure written to {path}\n")
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(start)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["rooflin"],
            'unknown figure "rooflin"; did you mean roofline or waterline? List them with: perfsim plot --help',
        ),
        (["roofline", "--on", "t4"], "nothing to do: give -o FILE.{png,svg,pdf} or --json"),
        (["roofline", "-o", "x.png"], "Missing option '--on'. See perfsim plot roofline --help"),
        (["roofline", "--on", "t4", "-o", "x.jpg"],
         '-o x.jpg: "jpg" is not a format of figures; expected one of png, svg, pdf'),
        (["roofline", "--on", "t4", "-o", "x.png", "--batch", 3],
         "--batch: belongs to a job; name a MODEL, or leave it out"),
        (["roofline", "--on", "t4", "-o", "/none/x.png"],
         "/none/x.png: cannot be written: No such file or directory; expected a file in an existing folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(arguments, message):
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"perfsim: {message}\n")


def test_a_what_if_changes_the_device():
    result = run("roofline", "--on", "t4", "--set", "device.memory.main.bandwidth=x2", "--json")
    (level,) = json.loads(result.stdout)["devices"][0]["levels"]
    assert (level["bandwidth"], level["status"]) == (640e9, "what-if")  # 2 × 320 GB/s


def test_figures_cost_nothing_until_they_are_drawn():
    code = (
        "import sys, perfsim as ps; ps.plots.roofline; print('matplotlib' in sys.modules, callable(ps.plots.roofline))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
    with pytest.raises(AttributeError, match="module 'perfsim' has no attribute 'plot'"):
        ps.plot  # noqa: B018
