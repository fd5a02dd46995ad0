# ruff: noqa: E501
"""The commands: what they print, as tables and as JSON."""

import json
import math

import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.catalog import device_names, model_names, stack_names
from perfsim.cli.main import cli
from perfsim.techniques.registry import parse_technique, technique_classes

CALL = [
    "predict",
    "llama-3.1-8b",
    "--on",
    "h100-sxm5-80gb",
    "--prompt-tokens",
    "512",
    "--output-tokens",
    "32",
    "--dtype",
    "bf16",
]
JOB = ps.Inference(prompt_tokens=512, output_tokens=32, dtype="bf16")


@pytest.fixture(autouse=True)
def usual_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def run(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result


def as_json(*arguments):
    result = run(*arguments, "--json")
    assert result.stderr == ""
    return json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


NAMES = {
    "models": model_names(),
    "devices": device_names(),
    "stacks": stack_names(),
    "techniques": tuple(technique_classes()),
}


@pytest.mark.parametrize("command", NAMES)
def test_lists_are_complete(command):
    rows = as_json(command)
    assert [row["name"] for row in rows] == list(NAMES[command])
    text = run(command).stdout
    assert text.startswith(f"{len(rows)} {command}")
    assert all(name in text for name in NAMES[command])


def test_devices_have_the_keys_of_the_contract():
    rows = {row["name"]: row for row in as_json("devices")}
    h100 = rows["h100-sxm5-80gb"]
    assert {"name", "vendor", "class", "year", "bandwidth", "capacity", "peaks", "power", "price", "sources"} <= set(
        h100
    )
    assert (h100["vendor"], h100["class"], h100["year"]) == ("NVIDIA", "datacenter-gpu", 2022)
    assert h100["bandwidth"] == pytest.approx(3.35e12)
    assert h100["capacity"] == 80 * 2**30
    assert h100["peaks"]["tensor"]["bf16"] == pytest.approx(989e12, rel=1e-3)
    assert h100["power"] == 700
    assert h100["price"] == pytest.approx(next(iter(h100["prices"].values())))
    assert all(rows[name]["bandwidth"] is None or rows[name]["bandwidth"] > 0 for name in rows)
    gap8 = ps.device("gap8")
    assert rows["gap8"]["unverified"] == [path for path, datum in gap8.data.items() if datum.status == "unverified"]


@pytest.mark.parametrize("name", device_names())
def test_every_number_of_a_device_is_shown_with_its_source(name):
    data, device = as_json("show", "device", name), ps.device(name)
    assert [q["path"] for q in data["quantities"]] == list(device.data)
    assert all(q["source"] and q["status"] and q["text"] for q in data["quantities"])
    assert [q["value"] for q in data["quantities"]] == [d.value for d in device.data.values()]


def test_a_model_is_shown_beside_its_published_figures():
    data = as_json("show", "model", "llama-3.1-8b")
    assert data["parameters"] == data["published_parameters"]["value"] == 8030261248
    assert data["published_parameters"]["source"].startswith("Hugging Face model API")
    assert data["config"]["hidden_size"] == 4096
    assert (data["timm"], data["macs"]) == (None, None)
    assert (
        as_json("show", "model", "mixtral-8x7b")["active_parameters"]
        < as_json("show", "model", "mixtral-8x7b")["parameters"]
    )


@pytest.mark.parametrize(("kind", "command"), [("model", "models"), ("stack", "stacks"), ("technique", "techniques")])
def test_every_entry_can_be_shown(kind, command):
    for name in NAMES[command]:
        assert as_json("show", kind, name)["name"] == name
    assert run("show", kind, NAMES[command][0]).stdout.startswith(f"{kind} {NAMES[command][0]}\n")


def test_a_device_is_shown_as_tables():
    text = run("show", "device", "gap8").stdout
    assert text.startswith("device gap8\n")
    for part in ("quantities\n", "readings\n", "memory.hyperram.bandwidth", "GreenWaves"):
        assert part in text


KEYS = {
    "model", "device", "count", "stack", "task", "workload", "using", "runtime", "ttft", "tpot", "throughput", "step_time",
    "energy", "power", "cost", "carbon", "flops", "traffic", "operational_intensity", "computational_efficiency", "mfu",
    "mbu", "parameters", "macs", "ideal_runtime", "interval", "coverage", "memory", "phases", "operators",
}  # fmt: skip


def test_predict_prints_the_result_of_the_library():
    data = as_json(*CALL, "--batch", 4)
    p = ps.predict("llama-3.1-8b", JOB.replace(batch=4), on="h100-sxm5-80gb")
    assert data == json.loads(json.dumps(p.to_dict()))
    assert set(data) >= KEYS
    assert data["runtime"] == p.runtime == pytest.approx(sum(row["runtime"] for row in data["operators"]))
    assert {row["name"] for row in data["phases"]} == {"prefill", "decode"}


def test_predict_prints_tables():
    result = run(*CALL, "--batch", 4)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("llama-3.1-8b on 1 × h100-sxm5-80gb under ideal: inference (batch=4, dtype=bf16, ")
    for title in ("memory per device", "phases", "kernels by time"):
        assert title in lines
    for part in (
        "time to first token",
        "throughput",
        "energy",
        "ideal bound",
        "fits",
        "convention: ",
        "modelled: 100.0 %",
    ):
        assert part in result.stdout
    assert result.stderr == ""
    assert max(len(line) for line in lines) <= 120
    assert (
        run(*CALL, "--batch", 4).stdout == ps.predict("llama-3.1-8b", JOB.replace(batch=4), on="h100-sxm5-80gb").table()
    )


@pytest.mark.parametrize("width", ["40", "60", "200"])
def test_tables_are_as_wide_as_the_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    assert max(len(line) for line in run(*CALL).stdout.splitlines()) <= int(width)
    assert "\x1b" not in run(*CALL).stdout


def test_decode_and_prefill():
    decode = as_json(
        "predict", "gpt2", "--on", "t4", "--task", "decode", "--context-length", 100, "--batch", 2, "--dtype", "fp16"
    )
    assert decode["workload"] == {"batch": 2, "dtype": "fp16", "context_length": 100}
    assert decode["ttft"] is None
    prefill = as_json("predict", "gpt2", "--on", "t4", "--task", "prefill", "--prompt-tokens", 100)
    assert prefill["task"] == "prefill"
    assert prefill["tpot"] is None


def test_the_largest_batch():
    data = as_json(*CALL, "--batch", "max")
    assert data["workload"]["batch"] == ps.largest_batch("llama-3.1-8b", JOB, on="h100-sxm5-80gb")
    assert data["memory"]["fits"]
    larger = as_json(*CALL, "--batch", "max", "--set", "device.memory.main.capacity=x2")
    assert larger["workload"]["batch"] > data["workload"]["batch"]


def test_a_remark_when_it_does_not_fit():
    result = run("predict", "llama-3.1-70b", "--on", "t4", "--dtype", "fp16")
    assert "does not fit: " in result.stdout
    assert not as_json("predict", "llama-3.1-70b", "--on", "t4", "--dtype", "fp16")["memory"]["fits"]


@pytest.mark.parametrize(
    ("options", "count", "layout"),
    [
        (["--count", 4], 4, "tensor=4,pipeline=1,data=1"),
        (["--tensor-parallel", 2, "--pipeline-parallel", 4], 8, "tensor=2,pipeline=4,data=1"),
        (["--data-parallel", 3], 3, "tensor=1,pipeline=1,data=3"),
        (["--count", 8, "--pipeline-parallel", 2], 8, "tensor=4,pipeline=2,data=1"),
        (["--using", "parallel:tensor=2,data=2"], 4, "tensor=2,pipeline=1,data=2"),
    ],
)
def test_parallel_degrees(options, count, layout):
    data = as_json(*CALL, *options)
    assert data["count"] == count
    assert layout in data["using"][0]


def test_what_ifs_and_techniques():
    base = as_json(*CALL)
    data = as_json(*CALL, "--set", "device.memory.main.bandwidth=x2", "--using", "weight-quantization:bits=4")
    assert data["what_if"] == {"device.memory.hbm.bandwidth": pytest.approx(6.7e12)}
    assert data["using"] == [str(parse_technique("weight-quantization:bits=4"))]
    assert data["tpot"] < base["tpot"] / 2
    assert base["what_if"] == {}


def test_a_trace_is_written_beside_the_result(tmp_path):
    path = tmp_path / "run.json"
    result = run(*CALL, "--json", "--trace", path)
    assert result.stderr == f"perfsim: trace written to {path}; open it with ui.perfetto.dev\n"
    bars = [event for event in json.loads(path.read_text())["traceEvents"] if event["ph"] == "X"]
    total = json.loads(result.stdout)["runtime"]
    assert math.isclose(sum(bar["dur"] for bar in bars), total * 1e6, rel_tol=1e-9)


def test_explanations():
    p = ps.predict("llama-3.1-8b", JOB, on="h100-sxm5-80gb")
    assert run(*CALL, "--explain").stdout == p.explain()
    assert run(*CALL, "--explain", "decode").stdout == p.explain("decode")
    assert run(*CALL, "--explain", "layer.mlp.down").stdout == p.explain(operator="layer.mlp.down")
    assert as_json(*CALL, "--explain", "head")["explanation"] == p.explain(operator="head")


def test_files_of_the_user(tmp_path):
    device = tmp_path / "mine.toml"
    device.write_text('base = "t4"\nname = "mine"\nclass = "datacenter-gpu"\n')
    config = tmp_path / "tiny" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
        "num_hidden_layers": 2, "vocab_size": 100,
    }))  # fmt: skip
    data = as_json("predict", config, "--on", device)
    assert (data["model"], data["device"]) == ("tiny", "mine")
