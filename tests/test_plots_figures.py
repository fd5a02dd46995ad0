"""Figures of predictions through the data of their artists; how they look is checked by eye."""

import json
from itertools import pairwise

import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import perfsim as ps
from perfsim.catalog import model_names
from perfsim.catalog.accuracy import accuracies
from perfsim.cli.main import cli
from perfsim.errors import InputError
from perfsim.plots import (
    Rated,
    breakdown,
    breakdown_by_bound,
    breakdown_by_phase,
    efficiency_gap,
    memory_timeline,
    pareto,
)
from perfsim.plots.efficiency_gap import efficiency_gap_data
from perfsim.plots.labels import Box
from perfsim.prediction.breakdown import ASPECTS, breakdown_of
from perfsim.prediction.gap import family_of, gap_points, gap_points_of_any, pareto_front, rated
from perfsim.prediction.timeline import PARTS, memory_timeline_of
from perfsim.prediction.waterline import waterline_of

JOB = ps.SinglePass(batch=16, dtype="fp16")


def axes(size=(7.0, 3.6)):
    return Figure(figsize=size, layout="constrained").subplots()


def line(ax, label):
    return next(each for each in ax.get_lines() if each.get_label() == label)


@pytest.fixture(scope="module")
def vision():
    return ps.predict("convnext-tiny", JOB, on="rtx-3090", stack="layerwise")


@pytest.fixture(scope="module")
def language():
    job = ps.Inference(prompt_tokens=512, output_tokens=16, batch=8, dtype="bf16")
    return ps.predict("llama-3.1-8b", job, on="h100-sxm5-80gb", stack="vllm")


# memory


@pytest.mark.parametrize("name", ["vision", "language"])
def test_the_timeline_covers_the_runtime_and_reaches_what_the_prediction_says(name, request):
    p = request.getfixturevalue(name)
    timeline = memory_timeline_of(p)
    ends = [0.0, *(m.end for m in timeline.moments)]
    assert [m.start for m in timeline.moments] == ends[:-1]
    assert ends[-1] == pytest.approx(p.runtime)
    for part in PARTS:  # nothing is saved for a backward pass
        assert max(m.parts[part] for m in timeline.moments) == getattr(p.memory, part, 0)
    assert timeline.peak.total <= p.memory.total == timeline.reserved


def test_a_cache_grows_by_one_position_per_step(language):
    steps = [m for m in memory_timeline_of(language).moments if m.phase == "decode"]
    per_step = {b.parts["kv_cache"] - a.parts["kv_cache"] for a, b in pairwise(steps)}
    assert len(steps) == 15
    # 32 layers × 8 sequences × keys and values × 8 heads × 128 × 2 bytes, in blocks of 16 positions
    assert per_step <= {0, 16 * 32 * 8 * 2 * 8 * 128 * 2}


def test_layers_are_told_one_after_the_other(vision):
    names = [m.name for m in memory_timeline_of(vision).moments]
    assert names.count("stages.2.blocks.depthwise") == 9
    first = names.index("stages.2.blocks.depthwise")
    assert names[first + 1] == "stages.2.blocks.norm"  # not the depthwise convolution of the next layer


def test_stacked_parts_and_the_capacity(language):
    ax = memory_timeline(language, ax=axes())
    timeline = memory_timeline_of(language)
    on_top = next(p for p in ax.patches if p.get_label() == "_activations")
    assert on_top.get_data().values * 1e9 == pytest.approx([m.total for m in timeline.moments])
    assert not [each for each in ax.get_lines() if each.get_label() == "_capacity"]  # more than four times as high
    used = timeline.peak.total
    assert ax.get_title("left").endswith(f"at most {used / 1e9:.3g} GB of 85.9 GB, {100 * used / (80 * 2**30):.0f} %")
    mark = line(ax, "_peak")
    assert mark.get_ydata()[0] * 1e9 == pytest.approx(timeline.peak.total)


def test_a_capacity_that_is_near_or_exceeded_is_drawn():
    job = ps.Decode(context_length=128, dtype="fp16")
    ax = memory_timeline(ps.predict("llama-2-13b", job, on="t4"), ax=axes())
    capacity = ps.device("t4").capacity
    assert line(ax, "_capacity").get_ydata()[0] * 1e9 == pytest.approx(capacity)
    assert ax.get_ylim()[1] * 1e9 > 13e9 * 2 > capacity
    assert "does not fit" in ax.get_title("left")


@pytest.mark.parametrize("size", [(7.0, 3.5), (3.3, 2.8)])
def test_the_name_of_the_fullest_moment_stays_within_the_axes(size, vision, language):
    for p in (vision, language):
        ax = memory_timeline(p, ax=axes(size))
        (text,) = (t for t in ax.texts if t.get_text().startswith("fullest"))
        inside, extent = ax.get_window_extent(), text.get_window_extent()
        assert inside.x0 <= extent.x0 < extent.x1 <= inside.x1
        assert extent.y1 <= inside.y1


# breakdown


def test_a_single_breakdown_says_what_runs_where(vision, language):
    assert breakdown(vision, ax=axes()).get_title("left").split("\n") == [
        "where the time goes: convnext-tiny, rtx-3090, layerwise stack",
        "single-pass, batch 16, dtype fp16, image size 224",
    ]
    assert breakdown_of([vision, language]).heading == ()  # not even the batch is the same
    faster = ps.predict("convnext-tiny", JOB, on="t4", stack="layerwise")
    result = breakdown_of([vision, faster])
    assert result.heading == ("convnext-tiny, layerwise stack", "single-pass, batch 16, dtype fp16, image size 224")
    assert result.titles == ("convnext-tiny · rtx-3090", "convnext-tiny · t4")


def test_titles_name_what_of_the_job_differs_for_one_model(vision):
    single = ps.predict("convnext-tiny", ps.SinglePass(batch=1, dtype="fp16"), on="rtx-3090", stack="layerwise")
    assert breakdown_of([vision, single]).titles == ("convnext-tiny · batch 16", "convnext-tiny · batch 1")


def test_the_parts_of_every_aspect_add_up_to_the_runtime(vision, language):
    result = breakdown_of([vision, language])
    for aspect in ASPECTS:
        sums = [sum(bar.values()) for bar in result.aspects[aspect]]
        assert sums == pytest.approx([vision.runtime, language.runtime])
    assert result.parts("phase") == ("forward", "prefill", "decode")
    assert result.aspects["kind"][1]["host"] == pytest.approx(
        sum(row.runtime for row in language.operators if row.kind == "host")
    )
    assert breakdown_of([vision, vision]).titles == ("convnext-tiny (1)", "convnext-tiny (2)")


@pytest.mark.parametrize("draw", [breakdown, breakdown_by_bound, breakdown_by_phase])
def test_pieces_lie_end_to_end(draw, vision, language):
    ax = draw([vision, language], ax=axes())
    rows = {0: [], 1: []}
    for container in ax.containers:
        for row, bar in enumerate(container):
            rows[row].append((bar.get_x(), bar.get_width()))
    for row, p in enumerate((vision, language)):
        assert [x for x, _ in rows[row]] == pytest.approx(
            [sum(w for _, w in rows[row][:i]) for i in range(len(rows[row]))]
        )
        assert sum(w for _, w in rows[row]) == pytest.approx(p.runtime * 1e3)
    low, high = ax.get_xlim()
    assert low == 0
    assert high > language.runtime * 1e3


# efficiency gap and pareto


@pytest.fixture(scope="module")
def family():
    return [ps.predict(m, JOB, on="rtx-3090", stack="layerwise") for m in ("resnet18", "resnet50", "convnext-tiny")]


def test_the_gap_is_one_over_the_computational_efficiency(family):
    for p, point in zip(family, gap_points(family), strict=True):
        assert point.gap == pytest.approx(1 / p.mfu)
        assert point.actual == pytest.approx(p.runtime / 16)  # per image
        matrix = sum(phase.total("matrix_flops") for phase in p.costs)
        assert point.ideal == pytest.approx(matrix / p.peak / 16)


def test_ideal_and_actual_stand_at_the_accuracy_of_the_table(family):
    ax = efficiency_gap(family, ax=axes())
    points = gap_points(family)
    assert [p.accuracy for p in points] == [0.69758, 0.7613, 0.8252]  # first weights of torchvision
    for name in ("ideal", "actual"):
        drawn = line(ax, f"_resnet {name}")
        factor = 1e-6 if "µs" in ax.get_xlabel() else 1e-3
        assert [x * factor for x in drawn.get_xdata()] == pytest.approx([getattr(p, name) for p in points[:2]])
        assert list(drawn.get_ydata()) == pytest.approx([69.758, 76.13])
    assert line(ax, "_resnet ideal").get_markerfacecolor() == "none"
    texts = {text.get_text() for text in ax.texts}
    assert {f"resnet18 ×{points[0].gap:.2f}", f"convnext-tiny ×{points[2].gap:.2f}"} <= texts
    assert len([each for each in ax.get_lines() if each.get_label() == "_gap"]) == 3


def test_labels_of_many_models_do_not_touch(family):
    many = [Rated(p, 0.7 + 0.001 * i, family=f"f{i % 3}") for i, p in enumerate(family * 4)]
    ax = efficiency_gap(many, ax=axes((7, 4.2)))
    boxes = []
    for text in ax.texts:
        extent = text.get_window_extent()
        boxes.append(Box(extent.x0 + 1, extent.y0 + 1, extent.x1 - 1, extent.y1 - 1))
    assert len(boxes) == 12
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_accuracy_is_declared_or_known_or_refused(family):
    assert rated(family[0], {"resnet18": 0.5}).accuracy == 0.5
    assert rated(family[0]).source == "pytorch/vision 0.29.2 ResNet18_Weights.IMAGENET1K_V1"
    small = ps.predict("resnet18", ps.SinglePass(image_size=160, dtype="fp16"), on="rtx-3090")
    for call, message in (
        (lambda: rated(small),
         "no accuracy of resnet18: measurements/accuracy.csv has it at 224 pixels, the job has 160; declare it, "
         "e.g. --accuracy resnet18=0.79"),
        (lambda: rated(small, {"resnet18": 76.1}),
         "accuracy of resnet18 is 76.1, expected a share above 0 and at most 1, e.g. 0.79"),
        (lambda: gap_points([]), "efficiency gap: an empty list, expected predictions"),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message


def test_without_any_accuracy_models_stand_at_their_parameters(language, family):
    """And one prediction needs no list."""
    ax = efficiency_gap(language, ax=axes())
    (point,) = gap_points_of_any(language)
    assert (point.accuracy, point.parameters) == (None, language.job.sizes(language.model)[0])
    assert list(line(ax, "_llama actual").get_ydata()) == [point.parameters]
    assert (ax.get_ylabel(), ax.get_yscale()) == ("parameters, for want of an accuracy", "log")
    assert ax.get_xlabel() == "time per token [ms], over 128 tokens"  # 8 sequences of 16
    assert efficiency_gap_data(language)["remarks"] == ["no accuracy is known: the models stand at their parameters"]
    assert efficiency_gap_data(family[0]) == efficiency_gap_data(family[:1])
    assert efficiency_gap_data(family)["remarks"] == []


def test_pareto_of_language_models_stands_at_their_parameters(language):
    ax = pareto(language, ax=axes())
    assert ax.get_ylabel() == "parameters, for want of an accuracy"
    assert ax.get_title("left").split("\n")[0] == "parameters and time, h100-sxm5-80gb, vllm stack"
    assert ax.get_legend().get_texts()[-1].get_text() == "no other is faster and larger"


@pytest.mark.parametrize("draw", [efficiency_gap, pareto])
def test_a_model_on_two_devices_has_two_labels_two_markers_and_no_line_between_devices(draw, family):
    other = [ps.predict(p.model.name, JOB, on="t4", stack="layerwise") for p in family]
    ax = draw([*family, *other], ax=axes())
    texts = [text.get_text().partition(" ×")[0] for text in ax.texts]
    assert sorted(texts) == sorted(f"{p.model.name} · {p.system.device.key}" for p in [*family, *other])
    legend = {text.get_text(): handle for text, handle in zip(ax.get_legend().get_texts(), ax.get_legend().get_lines(),
                                                              strict=True)}  # fmt: skip
    assert legend["rtx-3090"].get_marker() != legend["t4"].get_marker()
    drawn = [each for each in ax.get_lines() if each.get_label() in ("_resnet actual", "_resnet")]
    assert [len(each.get_xdata()) for each in drawn] == [2, 2]


@pytest.mark.parametrize(
    ("name", "family"),
    [("mobilenetv3-large", "mobilenetv3"), ("mobilenetv2", "mobilenetv2"), ("resnet18", "resnet"), ("gpt2-xl", "gpt"),
     ("wide-resnet50", "wide-resnet"), ("convnext-tiny", "convnext"), ("efficientnetv2-s", "efficientnetv2")],
)  # fmt: skip
def test_a_family_ends_where_the_size_begins(name, family):
    assert family_of(name) == family


def test_models_with_and_without_accuracy_do_not_share_a_figure(language, family):
    message = (
        "no accuracy of llama-3.1-8b: measurements/accuracy.csv does not have it; declare it, "
        "e.g. --accuracy llama-3.1-8b=0.79"
    )
    for call in (lambda: efficiency_gap([*family, language]), lambda: pareto([*family, language])):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message
    with pytest.raises(InputError) as error:
        efficiency_gap([3])
    assert str(error.value) == "result=3 is int, expected predictions, or Rated ones"


def test_the_table_of_accuracies_names_models_of_the_catalogue():
    rows = accuracies()
    assert {row.model for row in rows} <= set(model_names())
    assert all(0.5 < row.top1 < 0.9 and row.source and row.weights for row in rows)
    assert len({(row.model, row.image_size, row.weights) for row in rows}) == len(rows)


def test_nobody_on_the_front_is_beaten(family):
    worse = Rated(family[2], 0.5)  # slower than resnet18 and less accurate
    points = gap_points([*family, worse])
    front = pareto_front(points)
    assert [p.title for p in front] == ["resnet18", "resnet50", "convnext-tiny (1)"]
    for point in front:
        assert not any(p.actual <= point.actual and p.accuracy > point.accuracy for p in points)
    ax = pareto([*family, worse], ax=axes())
    corners = list(zip(*line(ax, "_front").get_data(), strict=True))
    assert len(corners) == 2 * 3 - 1
    assert [y for _, y in corners] == pytest.approx([69.758, 69.758, 76.13, 76.13, 82.52])


# the command line


def run(*arguments):
    return CliRunner().invoke(cli, ["plot", *map(str, arguments)])


VISION = ("--on", "rtx-3090", "--stack", "layerwise", "--dtype", "fp16", "--batch", 16)


def test_waterline_json_is_that_of_the_contract(vision):
    result = run("waterline", "convnext-tiny", *VISION, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    data = json.loads(result.stdout)
    expected = waterline_of(vision)
    assert data["ridge_point"] == expected.ridge_point
    assert data["attainable_efficiency"] == expected.attainable_efficiency
    assert len(data["kernels"]) == len(expected.kernels)


@pytest.mark.parametrize(
    ("figure", "models", "more", "key"),
    [
        ("waterline", ["resnet18", "alexnet"], [], "predictions"),
        ("memory", ["resnet18"], [], "moments"),
        ("breakdown", ["resnet18", "alexnet"], [], "predictions"),
        ("efficiency-gap", ["resnet18", "alexnet"], ["--accuracy", "alexnet=0.57"], "models"),
        ("pareto", ["resnet18", "alexnet"], [], "front"),
    ],
)
def test_every_figure_draws_and_prints(figure, models, more, key, tmp_path):
    target = tmp_path / "figure.svg"
    result = run(figure, *models, *VISION, *more, "--dark", "-o", target, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == f"perfsim: figure written to {target}\n"
    assert key in json.loads(result.stdout)
    assert target.read_text(encoding="utf-8").startswith("<?xml")


def test_the_table_says_at_which_size(tmp_path):
    result = run("efficiency-gap", "efficientnet-b1", *VISION, "--json")
    assert result.stderr == "perfsim: efficientnet-b1 at 240 pixels, where its accuracy was measured\n"
    assert json.loads(result.stdout)["models"][0]["accuracy"] == 0.78642


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["waterline", *VISION, "-o", "x.png"], "Missing argument 'MODEL...'. See perfsim plot waterline --help"),
        (["waterline", "resnet18", *VISION, "-o", "x.gif"],
         '-o x.gif: "gif" is not a format of figures; expected one of png, svg, pdf'),
        (["waterline", "resnet18", *VISION, "-o", "x"],
         '-o x: "" is not a format of figures; expected one of png, svg, pdf'),
        (["waterline", "resnet18", *VISION, "--view", "top", "-o", "x.png"],
         "Invalid value for '--view': 'top' is not one of 'traffic', 'time'. See perfsim plot waterline --help"),
        (["pareto", "resnet18", *VISION, "--accuracy", "resnet81=0.7", "-o", "x.png"],
         'unknown model of --accuracy "resnet81"; did you mean resnet18?'),
        (["pareto", "resnet18", *VISION, "--accuracy", "resnet18", "-o", "x.png"],
         '--accuracy "resnet18": expected MODEL=SHARE, e.g. --accuracy resnet18=0.79'),
        (["memory", "resnet18", *VISION, "-o", "/none/x.png"],
         "/none/x.png: cannot be written: No such file or directory; expected a file in an existing folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_no_file(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"perfsim: {message}\n")
    assert list(tmp_path.iterdir()) == []
