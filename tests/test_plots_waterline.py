"""The waterline figures through the data of their artists; how they look is checked by eye."""

import pytest
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation

import perfsim as ps
from perfsim.errors import InputError
from perfsim.plots import waterline, waterline_time
from perfsim.plots.frame import scale_of
from perfsim.plots.kinds import GROUPS, OTHER, group_colour, group_of
from perfsim.plots.labels import Box
from perfsim.plots.panels import stacked
from perfsim.plots.style import DARK, LIGHT, SIZES, look_of
from perfsim.plots.waterline import waterline_data
from perfsim.prediction.waterline import waterline_of

JOB = ps.SinglePass(batch=16, dtype="fp16")


def axes(size=(7.0, 3.6)):
    return Figure(figsize=size, layout="constrained").subplots()


def bars(ax, label):
    """(left, bottom, width, height) of the bars of a container."""
    found = next(c for c in ax.containers if c.get_label() == label)
    return [(b.get_x(), b.get_y(), b.get_width(), b.get_height()) for b in found]


def line(ax, label):
    return next(each for each in ax.get_lines() if each.get_label() == label)


@pytest.fixture(scope="module")
def vision():
    return ps.predict("convnext-tiny", JOB, on="rtx-3090", stack="layerwise")


@pytest.fixture(scope="module")
def language():
    job = ps.Inference(prompt_tokens=512, output_tokens=16, batch=8, dtype="bf16")
    return ps.predict("llama-3.1-8b", job, on="h100-sxm5-80gb", stack="vllm")


def test_bars_are_as_wide_as_bytes_and_as_high_as_intensities(vision):
    ax = axes()
    assert waterline(vision, ax=ax) is ax
    result = waterline_of(vision)
    kernels = [k for k in result.kernels if k.traffic]
    drawn = bars(ax, "_kernels")
    unit = 1e9 if "[GB]" in ax.get_xlabel() else 1e6
    assert [w for _, _, w, _ in drawn] == pytest.approx([k.traffic / unit for k in kernels])
    assert [h for _, _, _, h in drawn] == pytest.approx([k.operational_intensity for k in kernels])
    assert sum(w * h for _, _, w, h in drawn) * unit == pytest.approx(result.flops)  # the area is the work
    ends = [x + w for x, _, w, _ in drawn]
    assert [x for x, *_ in drawn] == pytest.approx([0.0, *ends[:-1]])  # side by side, in order


def test_water_fills_up_to_the_ridge_point_and_its_area_is_what_is_lost(vision):
    ax = waterline(vision, ax=axes())
    result = waterline_of(vision)
    ridge = result.ridge_point
    water = bars(ax, "_water")
    unit = 1e9 if "[GB]" in ax.get_xlabel() else 1e6
    assert all(y + h == pytest.approx(ridge) for _, y, _, h in water if h)
    assert sum(w * h for _, _, w, h in water) * unit == pytest.approx(result.submerged_flops)
    assert set(line(ax, "_ridge point").get_ydata()) == {ridge}
    assert sum(h > 0 for *_, h in water) == sum(k.operational_intensity < ridge for k in result.kernels if k.traffic)


def test_bars_that_the_top_cuts_have_a_mark(vision):
    ax = waterline(vision, ax=axes())
    top = ax.get_ylim()[1]
    assert top == pytest.approx(2 * waterline_of(vision).ridge_point)
    cut = [(x, x + w) for x, _, w, h in bars(ax, "_kernels") if h > top]
    marks = [float(m.get_xdata()[0]) for m in ax.get_lines() if m.get_label() == "_continued"]
    assert marks
    assert all(any(low <= mark <= high for low, high in cut) for mark in marks)


def test_the_title_sets_the_attainable_beside_the_aggregate(vision):
    ax = waterline(vision, ax=axes((9, 4)))
    result = waterline_of(vision)
    assert ax.get_title("left").split("\n") == [
        "convnext-tiny, rtx-3090, layerwise stack",
        "single-pass, batch 16, dtype fp16, image size 224",
        f"attainable {100 * result.attainable_efficiency:.0f} % of peak, "
        f"roofline of the aggregate {100 * result.aggregate_efficiency:.0f} %",
    ]


def test_another_device_adds_a_line_and_leaves_the_bars(vision):
    other = ps.predict("convnext-tiny", JOB, on="a100-sxm4-80gb", stack="layerwise")
    one, both = waterline(vision, ax=axes()), waterline([vision, other], ax=axes())
    assert bars(one, "_kernels") == bars(both, "_kernels")
    lines = [float(each.get_ydata()[0]) for each in both.get_lines() if each.get_label() == "_ridge point"]
    assert lines == [waterline_of(p).ridge_point for p in (vision, other)]


def test_the_other_view_has_times_and_parts_that_fill_each_column(language):
    ax = waterline_time(language, ax=axes())
    result = waterline_of(language)
    kernels = [k for k in result.kernels if k.runtime]
    parts = [bars(ax, name) for name in ("_compute", "_water", "_rest")]
    assert [w for _, _, w, _ in parts[0]] == pytest.approx([k.runtime * 1e3 for k in kernels])
    assert [sum(column) for column in zip(*([h for *_, h in p] for p in parts), strict=True)] == pytest.approx(
        [100.0] * len(kernels)
    )
    area = sum(w * h / 100 for _, _, w, h in parts[0]) / 1e3
    assert area == pytest.approx(result.flops / result.peak, rel=1e-3)  # arithmetic at the peak [s]
    assert line(ax, "_attainable").get_ydata()[0] == pytest.approx(100 * result.attainable_efficiency)
    assert line(ax, "_predicted").get_ydata()[0] == pytest.approx(100 * language.mfu)
    host = next(i for i, k in enumerate(kernels) if k.kind == "host")
    assert parts[0][host][3] == parts[1][host][3] == 0  # neither computes nor moves


def test_what_has_no_traffic_is_told_and_phases_are_separated(language):
    ax = waterline(language, ax=axes())
    host = sum(k.runtime for k in waterline_of(language).kernels if not k.traffic) / language.runtime
    assert (
        ax.get_legend().get_title().get_text() == f"without traffic, so without width: {100 * host:.0f} % of the time"
    )
    texts = [text.get_text() for text in ax.texts]
    assert "decode" in texts
    assert line(ax, "_phase").get_xdata()[0] == pytest.approx(
        sum(k.traffic for k in waterline_of(language).kernels if k.phase == "prefill") / 1e9
    )


@pytest.mark.parametrize("size", [(3.3, 2.6), (7.0, 3.6)])
def test_labels_stay_in_their_column(vision, size):
    with rc_context({"font.size": SIZES["column" if size[0] < 4 else "page"][1]}):
        ax = waterline(vision, ax=axes(size))
        ax.figure.draw_without_rendering()
        names = [t for t in ax.texts if isinstance(t, Annotation) and t.get_label() == "_name"]
        boxes = [t.get_window_extent() for t in names]
    inside = ax.get_window_extent()
    assert all(box.y1 <= inside.y1 + 1 and box.y0 >= inside.y0 for box in boxes)
    placed = [Box(b.x0, b.y0, b.x1, b.y1) for b in boxes]
    assert not any(a.overlaps(b) for i, a in enumerate(placed) for b in placed[:i])


def test_what_does_not_share_bars_is_refused(vision, language):
    for given, message in (
        ([], "waterline: an empty list, expected a prediction"),
        ("resnet50", "waterline: str given, expected a Prediction"),
        ([vision, language], "waterline: convnext-tiny (single-pass, batch 16, dtype fp16, image size 224) and "
         "llama-3.1-8b (inference, batch 8, dtype bf16, prompt tokens 512, output tokens 16) have different bars; draw "
         "each on axes of its own"),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            waterline_data(given)
        assert str(error.value) == message
    with pytest.raises(InputError, match="one prediction at a time"):
        waterline_time([vision, vision], ax=axes())


# colours


def test_a_kind_has_one_colour_everywhere_and_every_group_its_own():
    for dark in (LIGHT, DARK):
        with rc_context(dark):
            look = look_of(axes())
            colours = [to_rgb(group_colour(group, look)) for group in GROUPS]
        assert len(set(colours)) == len(colours)
    assert (group_of("gelu"), group_of("linear"), group_of("unheard-of")) == ("element-wise", "matrix product", OTHER)


def test_scales_have_the_prefix_that_fits():
    assert [scale_of(v, "B").unit for v in (0, 5e-10, 0.5, 1, 999, 1e3, 2e12)] == [
        "nB", "nB", "mB", "B", "B", "kB", "TB"
    ]  # fmt: skip
    assert scale_of(2e-3, "s").factor == 1e-3


def test_a_wide_column_has_its_name_even_where_neither_part_of_it_is_long_enough():
    p = ps.predict("mobilenetv1-1.0-128", ps.SinglePass(dtype="int8"), "gap8", stack="dory")
    widest = max(p.operators, key=lambda row: row.runtime)
    ax = waterline_time(p, ax=axes())
    names = [text.get_text() for text in ax.texts if text.get_label() == "_name"]
    assert f"{widest.name} × {widest.count}" in names


def test_names_stay_in_their_columns_where_panels_share_a_figure():
    """Legends of later panels take room from earlier ones; names go where there is room in the end."""
    job = ps.Training(global_batch=8, sequence=128, dtype="fp32")
    p = ps.predict("gpt2", job, on="a100-sxm4-80gb", stack="megatron")
    figure = Figure(figsize=(7.0, 7.2), layout="constrained")
    panels = stacked(figure, [p], [waterline, waterline_time], one_legend=True)
    assert len(figure.axes) == 2
    figure.canvas.draw()
    for ax in panels:
        inside = ax.get_window_extent()
        names = [text for text in ax.texts if text.get_label() == "_name"]
        assert names
        assert all(text.get_window_extent().y1 <= inside.y1 for text in names)
