"""Sweeps on the command line and in files: whole or not at all, and never twice the same work."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.cli.main import cli
from perfsim.errors import InputError, UnknownNameError
from perfsim.sweeps import front, pareto, plan_sweep, stream, write_sweep
from perfsim.workloads import Decode

WORDS = (
    "sweep", "gpt2", "--on", "l4", "--task", "decode", "--vary", "batch=1:64:x2", "--vary", "context-length=64,1024"
)  # fmt: skip


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def plan():
    return plan_sweep("gpt2", Decode(dtype="fp16"), ["l4", "a100-sxm4-80gb"], batch=range(1, 6), context_length=[9, 99])


@pytest.mark.parametrize("ending", ["csv", "parquet", "nc"])
def test_files_hold_what_the_dataset_holds(tmp_path, ending):
    import pandas as pd
    import xarray

    target = tmp_path / f"out.{ending}"
    assert write_sweep(plan(), target, rows=3) == 0
    assert [p.name for p in tmp_path.iterdir()] == [target.name]
    expected = plan().dataset()
    if ending == "nc":
        with xarray.open_dataset(target, engine="h5netcdf") as found:
            np.testing.assert_array_equal(found.runtime.values, expected.runtime.values)
            assert found.bound.values.tolist() == expected.bound.values.tolist()
            assert found.runtime.attrs["units"] == "s"
            assert list(found.device.values) == ["l4", "a100-sxm4-80gb"]
        return
    table = pd.read_csv(target) if ending == "csv" else pd.read_parquet(target)
    assert len(table) == 2 * 5 * 2
    np.testing.assert_array_equal(table["runtime"], expected.runtime.values.ravel())
    assert table["device"].tolist() == ["l4"] * 10 + ["a100-sxm4-80gb"] * 10
    assert table["context_length"].tolist() == [9, 99] * 10
    assert set(table["bound"]) <= {"compute", "memory", "network", "overhead"}


def test_an_interrupted_sweep_keeps_its_parts_and_goes_on(tmp_path):
    target, finished = tmp_path / "out.csv", []

    def stop(points):
        finished.append(points)
        if len(finished) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sweep(plan(), target, stop, rows=2)
    assert not target.exists()
    assert len(list((tmp_path / "out.csv.parts").glob("*.parquet"))) == 3
    assert write_sweep(plan(), target, rows=2) == 3
    whole = tmp_path / "whole.csv"
    write_sweep(plan(), whole)
    assert target.read_text() == whole.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "whole.csv"]


def test_a_sweep_is_known_again_in_another_process():
    code = (
        "from perfsim.sweeps import plan_sweep, stream; from perfsim.workloads import Decode; "
        "print(stream._fingerprint(plan_sweep('gpt2', Decode(dtype='fp16'), ['l4', 'a100-sxm4-80gb'], "
        "batch=range(1, 6), context_length=[9, 99]), 1))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == stream._fingerprint(plan(), 1)


def test_parts_of_another_sweep_are_not_used(tmp_path):
    target = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        write_sweep(plan(), target, lambda points: (_ for _ in ()).throw(KeyboardInterrupt), rows=2)
    other = plan_sweep("gpt2", Decode(dtype="fp16"), ["l4"], batch=range(1, 6), context_length=[9, 99])
    with pytest.raises(InputError) as caught:
        write_sweep(other, target, rows=2)
    assert str(caught.value) == (
        f"{target}.parts: holds finished parts of another sweep; run that one again to go on with it, write this one "
        f"elsewhere, or remove the folder"
    )
    assert not target.exists()
    assert write_sweep(plan(), target, rows=2) == 1  # the part that was kept
    assert write_sweep(other, target, rows=2) == 0
    assert len(target.read_text().splitlines()) == 1 + 10


def test_a_full_disk_breaks_nothing(tmp_path, monkeypatch):
    target, save, calls = tmp_path / "out.parquet", stream._save, []
    target.write_text("what was there")

    def full(table, file):
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        save(table, file)

    monkeypatch.setattr(stream, "_save", full)
    with pytest.raises(InputError) as caught:
        write_sweep(plan(), target, rows=4)
    assert str(caught.value) == (
        f"{target}: cannot be written: No space left on device; finished parts are kept in {target}.parts, "
        f"make room and run the same sweep again to go on"
    )
    assert target.read_text() == "what was there"
    monkeypatch.setattr(stream, "_save", save)
    assert write_sweep(plan(), target, rows=4) == 2


def test_foreign_folders_are_left_alone(tmp_path):
    (tmp_path / "out.csv.parts").mkdir()
    (tmp_path / "out.csv.parts" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="holds no parts of a sweep; move it away"):
        write_sweep(plan(), tmp_path / "out.csv")
    assert (tmp_path / "out.csv.parts" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("name", ["out.txt", "missing/out.csv", "."])
def test_files_that_cannot_be_written(tmp_path, name):
    with pytest.raises(InputError):
        write_sweep(plan(), tmp_path / name)


def test_the_table_and_the_json_of_the_command(tmp_path):
    found = run(*WORDS, "--json")
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)
    assert data["points"] == 7 * 2
    assert data["axes"] == {"model": 1, "device": 1, "batch": 7, "context_length": 2}
    assert data["rows"][0]["batch"] == 1
    runtime = ps.predict("gpt2", Decode(batch=1, context_length=64), "l4").runtime
    assert data["rows"][0]["runtime"] == pytest.approx(runtime, rel=1e-12)
    table = run(*WORDS, "--limit", 3).stdout
    assert "best 3 by runtime, 14 of 14 points fit" in table
    written = run(*WORDS, "--out", tmp_path / "out.csv")
    assert written.stdout == f"14 points written to {tmp_path / 'out.csv'}\n"


def test_the_front_of_the_command():
    data = json.loads(run(*WORDS, "--pareto", "runtime,throughput", "--json").stdout)
    assert data["kind"] == "pareto"
    speeds = [(row["runtime"], row["throughput"]) for row in data["rows"]]
    assert speeds == sorted(speeds)  # a longer step must buy more throughput
    assert len(speeds) == 7  # at every batch the short context beats the long one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vary", "batch"), 'perfsim: --vary "batch": expected NAME=SPEC, e.g. --vary batch=1:256:x2\n'),
        (("--vary", "batch=1"), "perfsim: --vary batch: stated twice; state it once\n"),
        (("--vary", "bach=1"), 'perfsim: unknown axis "bach"; did you mean batch?'),
        (
            ("--vary", "device.memory.main.bandwidth=1,2"),
            'perfsim: device.memory.main.bandwidth: "1" is [1], expected [byte/s]\n',
        ),
        (
            ("--vary", "device.memory.main.bandwidth=1 TB:2 TB:1 TB"),
            'perfsim: device.memory.main.bandwidth: "1000000000000.0 byte" is [byte], expected [byte/s]\n',
        ),
        (("--pareto", "tpot"), 'perfsim: --pareto "tpot": expected two or more metrics, e.g. --pareto tpot,cost\n'),
        (("--pareto", "tpot,speed"), 'perfsim: unknown metric "speed"'),
        (("--out", "a.txt"), "perfsim: a.txt: unknown kind of file; expected a name that ends in .csv, .parquet, .nc"),
    ],
)
def test_refusals_of_the_command(words, message):
    found = run(*WORDS, *words)
    assert found.exit_code == 2
    assert found.stderr.startswith(message)


@given(
    st.integers(2, 4).flatmap(
        lambda n: st.lists(st.tuples(*[st.integers(0, 6) | st.just(float("nan"))] * n), min_size=1, max_size=40)
    )
)
def test_the_front_is_what_nothing_dominates(rows):
    values = np.array(rows, dtype=float)

    def dominated(p):
        return any((q <= p).all() and (q < p).any() for q in values if not np.isnan(q).any())

    expected = [not np.isnan(p).any() and not dominated(p) for p in values]
    assert front(values).tolist() == expected


def test_the_front_of_a_dataset():
    found = ps.sweep("gpt2", Decode(dtype="fp16"), ["l4", "a100-sxm4-80gb"], batch=[1, 8, 64])
    best = pareto(found, "runtime", "throughput")
    assert best.sizes == {"point": 3}
    assert set(best.device.values) == {"a100-sxm4-80gb"}  # faster and more of everything
    with pytest.raises(UnknownNameError):
        pareto(found, "runtime", "quality")
    with pytest.raises(InputError, match="state two or more"):
        pareto(found, "runtime")


def test_models_of_two_tasks_are_not_judged_by_the_task_of_the_first():
    words = ("sweep", "resnet18", "gpt2", "--on", "l4", "--vary", "batch=1,2")
    found = run(*words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr == (
        "perfsim: one sweep has one task: resnet18 is for single-pass, gpt2 for inference; sweep them apart, or state "
        "a --task that fits all\n"
    )
    assert run("sweep", "resnet18", "vgg16", *words[3:]).exit_code == 0
    assert run(*words, "--task", "single-pass").exit_code == 0
