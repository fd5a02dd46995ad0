"""Export: plain data, strict JSON, traces, and files that are whole or absent."""

import json
import math
import os
import stat

import numpy as np
import pytest

import perfsim as ps
from perfsim.errors import InputError
from perfsim.export import files
from perfsim.export.files import write_whole
from perfsim.export.plain import json_text, plain
from perfsim.export.trace import trace_events


@pytest.fixture(scope="module")
def prediction():
    return ps.predict("gpt2", ps.Inference(prompt_tokens=64, output_tokens=8, dtype="fp16"), on="t4")


def test_plain_data():
    value = {
        "a": (1, 2.5, None, True),
        2: np.float64(1.5),
        "n": [math.nan, math.inf, -math.inf],
        "v": np.arange(3),
        "i": np.int64(3),
    }
    assert plain(value) == {"a": [1, 2.5, None, True], "2": 1.5, "n": [None, None, None], "v": [0, 1, 2], "i": 3}
    assert type(plain(np.float64(1.5))) is float
    assert json_text({"x": math.nan}, indent=None) == '{"x": null}'
    with pytest.raises(TypeError, match="object has no plain form"):
        plain(object())


def test_the_result_is_strict_json_and_adds_up(prediction):
    data = prediction.to_dict()
    assert json.loads(json_text(data)) == data
    assert data["flops"] == sum(row["flops"] for row in data["operators"])
    assert data["memory"]["total"] == sum(data["memory"][part] for part in ("weights", "kv_cache", "activations"))
    assert data["interval"]["runtime"][0] <= data["runtime"] <= data["interval"]["runtime"][1]


def test_a_device_without_power_and_price_gives_null():
    data = ps.predict("gpt2", ps.Decode(context_length=8), on="cortex-a53").to_dict()
    assert (data["energy"], data["power"], data["carbon"], data["cost"]) == (None, None, None, None)


def test_a_trace_lays_the_kernels_end_to_end(prediction):
    events = trace_events(prediction)
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {1: "prefill", 2: "decode"}
    bars = [event for event in events if event["ph"] == "X"]
    clock = 0.0
    for bar, row in zip(bars, prediction.operators, strict=True):
        assert (bar["name"], names[bar["tid"]]) == (row.name, row.phase)
        assert bar["ts"] == pytest.approx(clock * 1e6)
        assert bar["dur"] == pytest.approx(row.runtime * 1e6)
        clock += row.runtime
    assert clock == pytest.approx(prediction.runtime)


def test_a_trace_is_a_json_file(prediction, tmp_path):
    path = tmp_path / "run.json"
    prediction.to_trace(str(path))
    assert len(json.loads(path.read_text())["traceEvents"]) == len(trace_events(prediction))


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_new_files_honour_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "new", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask


def test_existing_files_keep_their_permissions_and_links_stay_links(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"new", 0o640)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "target"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "kept").write_text("old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(InputError) as error:
        write_whole(tmp_path / "kept", "new")
    assert (
        str(error.value)
        == f"{tmp_path}/kept: cannot be written: No space left on device; expected a file in an existing folder"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "new", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/x.json", "No such file or directory"),
        ("file/x.json", "Not a directory"),
        ("folder", "Is a directory"),
        ("n" * 300, "File name too long"),
        ("a\0b", "embedded null byte"),
    ],
)
def test_bad_paths(prediction, tmp_path, name, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError) as error:
        prediction.to_trace(f"{tmp_path}/{name}")
    assert str(error.value) == f"{tmp_path}/{name}: cannot be written: {reason}; expected a file in an existing folder"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_pipes_are_written_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    write_whole("/dev/null", "text")
