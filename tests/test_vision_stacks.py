"""Stacks for vision on GPUs: what they add to a graph, how their kernels lose time, and how far off they are."""

import tomllib

import pytest

import perfsim as ps
from perfsim.architectures.vision import ImageStep
from perfsim.catalog import model, stack
from perfsim.catalog.files import data_root
from perfsim.costs.matrix import executed_products, group_columns, padded_depth
from perfsim.costs.roofline import row_runtime
from perfsim.errors import InputError
from perfsim.ops import Conv, Elementwise
from perfsim.quantities.dtypes import DTYPES
from perfsim.validation.report import Pair, report_of
from perfsim.validation.rows import predict_row, read_rows
from perfsim.validation.vision import PARAMETERS, is_fitted, timm_lines, vision_problem
from perfsim.workloads.frameworks import autocast, channels_first

STACKS = ("pytorch-eager", "pytorch-channels-last", "pytorch-compile", "tensorrt")
MEASUREMENTS = data_root() / "measurements"


def graph_of(name, fold=False):
    return model(name).graph(ImageStep(2, model(name).image_size, DTYPES["fp16"], DTYPES["fp16"], fold=fold))


def made_by(graph, function):
    return [op for op in graph.operators if isinstance(op, Elementwise) and op.function == function]


def test_groups_share_a_tile_or_fill_one():
    shape = {"tile": 128, "efficiency": 0.5}
    assert group_columns(n=32, shared=128, **shape) == 32  # 4 groups side by side
    assert group_columns(n=24, shared=128, **shape) == 128 / 0.5  # 24 does not divide 128
    assert group_columns(n=32, shared=1, **shape) == 128 / 0.5  # channels first: nothing is shared
    assert group_columns(n=1, shared=1, **shape) == 1  # depthwise
    assert group_columns(n=24, shared=1, tile=1, efficiency=1) == 24  # the perfect stack


def test_three_colours_are_read_as_eight_channels():
    assert padded_depth(depth=3, multiple=8) == 8 / 3
    assert padded_depth(depth=64, multiple=8) == 1
    assert padded_depth(depth=0, multiple=8) == 1  # no channels: a plain product


def test_rows_of_norms_occupy_the_units():
    assert row_runtime(rows=820, row_time=2e-7, units=82) == pytest.approx(10 * 2e-7)


def test_few_tiles_leave_units_idle_unless_split():
    shape = {"batch": 1, "m": 128, "n": 64, "k": 100, "tile_rows": 128, "tile_columns": 64, "units": 80}
    assert executed_products(**shape) == 128 * 64 * 100  # one tile, split over all units
    assert executed_products(**shape, split=1) == 128 * 64 * 100 * 80  # one unit works, 79 wait
    assert executed_products(**shape, split=4) == 128 * 64 * 100 * 20
    assert executed_products(**{**shape, "m": 128 * 80}, split=1) == 80 * 128 * 64 * 100  # one full wave


def test_autocast_casts_weights_and_widens_norms():
    graph = autocast(graph_of("resnet18"))
    assert len(made_by(graph, "downcast")) == 20 + 1  # weights of 20 convolutions and a classifier; images are fp16
    assert made_by(graph, "upcast") == []  # batch norms take what they are given
    assert {t.dtype.bits for t in graph.tensors.values() if t.role.value == "weight"} == {32}


def test_tokens_become_fp32_and_are_cast_for_every_product():
    graph = autocast(graph_of("vit-tiny-16"))
    norm = next(op for op in graph.operators if op.name == "blocks.attention.norm")
    residual = next(op for op in graph.operators if op.name.endswith("mlp.residual.add"))
    qkv = next(op for op in graph.operators if op.name == "blocks.attention.qkv")
    bits = [graph.tensors[op.outputs[0]].dtype.bits for op in (norm, residual, qkv)]
    assert bits == [32, 32, 16]
    assert graph.tensors[norm.inputs[0]].dtype.bits == 32  # learned positions made the residual stream fp32


def test_repeated_blocks_read_what_they_write():
    graph = autocast(graph_of("convnext-tiny"))
    stage = next(region for region in graph.regions if graph.regions[region] == 9)
    first = next(op for op in graph.operators if op.region == stage)
    assert graph.tensors[first.inputs[0]].dtype.bits == 32  # layer scale is fp32, so is what the next block reads


def test_autocast_leaves_other_formats_alone():
    plain = model("resnet18").graph(ImageStep(2, 224, DTYPES["fp32"], DTYPES["fp32"]))
    assert [op.name for op in autocast(plain).operators] == [op.name for op in plain.operators]


def test_channels_first_copies_around_dense_windows_only():
    plain = graph_of("resnet50")
    windows = [
        op for op in plain.operators if type(op) is Conv and plain.tensors[op.inputs[1]].shape[3:] != (1, 1)
    ]
    assert len(made_by(channels_first(plain), "copy")) == 2 * len(windows) > 0
    depthwise = [op.name for op in made_by(channels_first(graph_of("mobilenetv1")), "copy")]
    assert depthwise == ["stem.to_channels_last", "stem.to_channels_first"]


def test_the_stack_decides_about_batch_norms_unless_the_job_does():
    def kinds(stack, **fields):
        p = ps.predict("resnet18", ps.SinglePass(batch=1, dtype="fp16", **fields), "rtx-3090", stack=stack)
        return {op.kind for op in p.costs[0].graph.operators}

    assert "batch-norm" in kinds("pytorch-eager")
    assert "batch-norm" not in kinds("tensorrt") | kinds("ideal")
    assert "batch-norm" not in kinds("pytorch-eager", fold_batch_norm=True)
    assert "batch-norm" in kinds("tensorrt", fold_batch_norm=False)


def test_fewer_kernels_the_more_a_stack_fuses():
    def kernels(stack):
        p = ps.predict("resnet50", ps.SinglePass(batch=1, dtype="fp16"), "a100-sxm4-80gb", stack=stack)
        return sum(count for _, count in p.costs[0].kernels)

    eager, last, compiled, built = (kernels(name) for name in STACKS)
    assert eager > last > compiled > built
    assert last == 53 + 53 + 49 + 16 + 3 + 54  # conv, batch norm, relu, add; pools and classifier; casts of weights


@pytest.mark.parametrize("name", STACKS)
def test_at_most_ten_fitted_numbers(name):
    with (data_root() / "hardware" / "stacks" / f"{name}.toml").open("rb") as handle:
        table = tomllib.load(handle)
    tables = [table, *table.get("device", {}).values()]
    fitted = [k for t in tables for k, v in t.items() if isinstance(v, dict) and v.get("status") == "fitted"]
    assert len(fitted) <= 10


@pytest.mark.parametrize("device", ["rtx-4090", "rtx-5090", "h100-sxm5-80gb", "a10g", "t4"])
@pytest.mark.parametrize("name", STACKS)
def test_devices_without_measurements_get_a_bounded_prediction(name, device):
    p = ps.predict("resnet50", ps.SinglePass(batch=64, dtype="fp16"), device, stack=name)
    assert p.ideal.runtime < p.runtime < 40 * p.ideal.runtime
    assert p.interval[0] < p.runtime < p.interval[1]


def sample(name, every=11):
    rows = [row for row in read_rows(MEASUREMENTS / "timm.csv") if row.stack == name and not row.fitted]
    return rows[::every]


@pytest.mark.parametrize("name", ["pytorch-eager", "pytorch-channels-last"])
def test_unseen_networks_of_timm(name):
    pairs = []
    for row in sample(name):
        p = predict_row(row)
        assert p.ideal.runtime < row.job.batch / row.value  # ideal is a bound: below every measured runtime
        pairs.append(Pair(row.device, row.model, "", p.throughput, row.value))
    numbers = report_of("timm", pairs).statistics()
    assert numbers["rows"] >= 25
    assert numbers["mdape"] <= 20  # the accuracy that is asked for; about 6 over all rows
    assert numbers["kendall"] >= 0.9


def test_ideal_is_below_every_measurement_of_the_other_gpus():
    for row in read_rows(MEASUREMENTS / "vision.csv"):
        measured = row.value if row.metric == "runtime" else row.job.batch / row.value
        assert predict_row(row).ideal.runtime < measured


def test_rows_of_single_passes_name_what_is_wrong(tmp_path):
    path = tmp_path / "rows.csv"
    head = "device,stack,model,task,dtype,batch,image_size,metric,value\n"
    path.write_text(head + "rtx-3090,pytorch-eager,resnet50,single-pass,fp16,64,192,throughput,1000\n")
    (row,) = read_rows(path)
    assert (row.job.task, row.job.batch, row.job.image_size) == ("single-pass", 64, 192)
    path.write_text(head + "rtx-3090,pytorch-eager,resnet50,single-pass,fp16,64,big,throughput,1000\n")
    with pytest.raises(InputError) as refused:
        read_rows(path)
    assert str(refused.value) == f'{path}:2: image_size "big", expected a whole number'


def test_lines_of_the_public_table():
    table = {"device": "RTX 3090", "framework": "pt2.4.0-eager", "mode": "infer", "layout": "nhwc", "precision": "amp"}
    rows = [
        table | {"model": "resnet50.a1_in1k", "img": "224", "batch": "1024", "value": "3729.9"},
        table | {"model": "resnet50.a2_in1k", "img": "224", "batch": "1024", "value": "3730.1"},  # the same network
        table | {"model": "resnet50", "img": "224", "batch": "1024", "value": "1", "mode": "train"},
        table | {"model": "no_such_network", "img": "224", "batch": "1024", "value": "1"},
    ]
    (line,) = timm_lines(rows)
    assert (line["model"], line["stack"], line["value"]) == ("resnet50", "pytorch-channels-last", "3729.9")


def test_whole_families_are_left_out_of_the_fit():
    rows = read_rows(MEASUREMENTS / "timm.csv")
    fitted, unseen = ({row.model for row in rows if row.fitted is half} for half in (True, False))
    assert not fitted & unseen
    assert {"swin-tiny", "densenet121", "deit-base"} <= unseen
    assert not is_fitted("swin-tiny", "swin")


def test_fits_refuse_what_no_row_can_fix():
    with pytest.raises(InputError) as refused:
        vision_problem("tensorrt", "rtx-4090", "fp16")
    assert str(refused.value) == (
        "tensorrt is fitted on v100-sxm2-16gb, h100-sxm5-80gb, t4, not on rtx-4090"
    )
    with pytest.raises(InputError) as refused:
        vision_problem("tensorrt", "t4", "int8")
    assert str(refused.value) == "no fitted rows of tensorrt on t4 in int8; there are rows in fp16"


@pytest.mark.parametrize(("name", "on"), [(n, d) for n, d in PARAMETERS if d != "rtx-3090"])
def test_the_fitted_numbers_are_those_of_the_files(name, on):
    known = stack(name).on(ps.device(on))
    assert {known.datum(parameter).status for parameter in PARAMETERS[name, on]} <= {"fitted", "model"}
