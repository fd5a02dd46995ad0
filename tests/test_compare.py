"""Predictions side by side: the arithmetic of ratios, what limits a phase, and what can be varied."""

import json

import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.cli.main import cli
from perfsim.errors import InputError, UnknownNameError
from perfsim.prediction.compare import column_labels
from perfsim.prediction.variant import read_variant
from perfsim.techniques.registry import parse_technique

A100, H100 = "a100-sxm4-80gb", "h100-sxm5-80gb"
JOB = ps.Inference(prompt_tokens=512, output_tokens=16, batch=8, dtype="bf16")
TWICE = ",".join(f"device.{path}=x2" for path in ("memory.hbm.bandwidth", "compute.tensor.bf16", "compute.vector.bf16"))


@pytest.fixture(autouse=True)
def usual_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def compare(*variants, model="llama-3.1-8b", on=H100, **changes):
    return ps.compare(model, JOB, on, variants=variants, **changes)


def test_doubling_peak_and_bandwidth_halves_the_ideal_runtime():
    c = compare(TWICE, f"{TWICE},stack=vllm")
    assert c.row("ideal_runtime").ratios[:2] == (1, pytest.approx(0.5, rel=1e-3))
    assert c.row("runtime").ratios[1] == pytest.approx(0.5, rel=1e-3)
    assert c.row("ideal_runtime").ratios[2] == pytest.approx(0.5, rel=1e-3)
    assert c.row("runtime").ratios[2] > 0.5  # fixed times stay
    assert c.row("throughput").ratios[1] == pytest.approx(1 / c.row("runtime").ratios[1])


def test_columns_are_the_predictions_themselves():
    c = ps.compare("llama-3.1-8b", JOB, [A100, H100], stack="vllm")
    alone = [ps.predict("llama-3.1-8b", JOB, on=name, stack="vllm") for name in (A100, H100)]
    assert c.labels == (A100, H100)
    for name in ("runtime", "ttft", "tpot", "throughput", "energy", "cost", "carbon"):
        assert c.row(name).values == tuple(getattr(p, name) for p in alone)
        assert c.row(name).ratios == (1, pytest.approx(getattr(alone[1], name) / getattr(alone[0], name)))
    assert c.row("memory").values == tuple(p.memory.total for p in alone)


def test_every_model_meets_every_device():
    c = ps.compare(["gpt2", "gpt2-xl"], JOB, [A100, H100])
    assert c.labels == (f"gpt2 on {A100}", f"gpt2 on {H100}", f"gpt2-xl on {A100}", f"gpt2-xl on {H100}")
    assert [p.model.name for p in c.predictions] == ["gpt2", "gpt2", "gpt2-xl", "gpt2-xl"]


def test_variants_change_the_first_column_only():
    c = compare("stack=vllm", "count=2", "using=weight-quantization:bits=4,group=64", "batch=16", f"on={A100}",
                "model=mistral-7b", "region=FRA,pue=1.1")  # fmt: skip
    base, vllm, two, four_bits, batch, device, model, grid = c.predictions
    assert (base.stack.key, vllm.stack.key) == ("ideal", "vllm")
    assert (two.devices, batch.job.batch, device.system.device.key, model.model.name) == (2, 16, A100, "mistral-7b")
    assert [str(t) for t in four_bits.using] == [str(parse_technique("weight-quantization:bits=4,group=64"))]
    assert grid.carbon == pytest.approx(base.energy * 1.1 * 0.056 / 3.6e6)
    assert base.using == ()


def test_a_variant_comes_on_top_of_the_base():
    c = compare("device.memory.main.bandwidth=x2", what_if={"device.memory.main.bandwidth": "x2"},
                using=["kv-cache-quantization"])  # fmt: skip
    base = ps.device(H100).bandwidth
    assert [p.system.device.bandwidth / base for p in c.predictions] == [2, 4]
    assert [len(p.using) for p in c.predictions] == [1, 1]
    assert ps.device(H100).bandwidth == base  # the catalogue keeps its value


def test_mappings_do_the_same_as_texts():
    text = "stack=vllm,batch=4,using=weight-quantization:bits=4,device.memory.hbm.bandwidth=x2"
    mapping = {"stack": "vllm", "batch": 4, "using": ["weight-quantization:bits=4"],
               "device.memory.hbm.bandwidth": "x2"}  # fmt: skip
    c = compare(text, mapping)
    assert c.row("runtime").values[1] == c.row("runtime").values[2]
    assert c.labels[1] == text


def test_the_limit_of_a_phase():
    c = compare("stack=vllm", f"stack=vllm,count=8,{TWICE}")
    prefill, decode = c.limits["prefill"], c.limits["decode"]
    assert (prefill[0].bound, prefill[0].resource) == ("compute", "matrix bf16")
    assert (decode[0].bound, decode[0].resource) == ("memory", "hbm")
    for limit, p in zip(decode, c.predictions, strict=True):
        rows = [row for row in p.operators if row.phase == "decode"]
        for bound, share in limit.shares.items():
            time = sum(row.runtime for row in rows if row.bound == bound)
            assert share == pytest.approx(time / sum(row.runtime for row in rows))
        assert sum(limit.shares.values()) == pytest.approx(1)
    assert decode[2].bound in ("network", "overhead")
    assert decode[2].resource in ("nvlink", "host", "kernel launch")


def test_unknown_quantities_stay_unknown():
    c = ps.compare("gpt2", ps.Decode(context_length=64, dtype="fp16"), ["rtx-4090", "a100-sxm4-80gb"])
    assert c.row("cost").values[0] is None
    assert c.row("cost").ratios == (None, None)
    with pytest.raises(InputError) as error:
        c.row("ttft")
    assert str(error.value) == (
        'no row "ttft"; this comparison has runtime, tpot, throughput, energy, cost, carbon, memory, ideal_runtime'
    )
    assert " - " in c.table()


def test_labels():
    assert column_labels([("m", "d")], ["x", "x"]) == ("base", "x", "x (2)")
    assert column_labels([("m", "d"), ("n", "d")], []) == ("m", "n")
    assert column_labels([("m", "d"), ("m", "d")], []) == ("d", "d (2)")


def test_a_text_is_split_where_the_technique_ends():
    variant = read_variant("using=parallel:tensor=2,data=2,count=4,batch=9,using=weight-quantization", ps.Inference)
    assert variant.using == ("parallel:tensor=2,data=2", "weight-quantization")
    assert (variant.settings, variant.job) == ({"count": 4}, {"batch": 9})


HINT = "e.g. device.memory.main.bandwidth=x2 or stack=vllm"
MISTAKES = [
    ("bach=2", f'unknown part of a variant "bach"; did you mean batch? {HINT}'),
    ("batch", f'variant "batch": "batch" is not KEY=VALUE; {HINT}'),
    ("batch=2,batch=3", "variant: batch is stated twice; state it once"),
    ("batch=two", "batch='two': expected a whole number, at least 1"),
    ("count=two", "variant: count='two': expected a whole number of devices, at least 1"),
    ("context_length=9", 'unknown part of a variant "context_length"; known: batch, count, device., dtype, link., '
     f"model, model., offer, ... {HINT}"),
    ("device.memory.main.bandwidth=3 GB", 'device.memory.main.bandwidth: "3 GB" is [byte], expected [byte/s]'),
    ({}, "variant {}: is empty, expected device.memory.main.bandwidth=x2 or stack=vllm"),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "message"), MISTAKES)
def test_mistakes(variant, message):
    with pytest.raises((InputError, UnknownNameError, ps.PerfsimError)) as error:
        compare(variant, model="gpt2")
    assert str(error.value) == message


def test_an_empty_list_is_refused():
    with pytest.raises(InputError) as error:
        ps.compare([], JOB, H100)
    assert str(error.value) == "model is an empty list, expected at least one"


# command line


def run(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)])


CALL = ["--prompt-tokens", 512, "--output-tokens", 16, "--batch", 8, "--dtype", "bf16"]


def test_json_is_the_comparison():
    variants = ["stack=vllm", "device.memory.main.bandwidth=x2,batch=4", "using=weight-quantization:bits=4,group=64"]
    options = [part for variant in variants for part in ("--variant", variant)]
    result = run("llama-3.1-8b", "--on", H100, *CALL, "--region", "FRA", *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    expected = compare(*variants, region="FRA").to_dict()
    assert json.loads(result.stdout) == json.loads(json.dumps(expected))
    assert [column["label"] for column in expected["columns"]] == ["base", *variants]
    assert [row["name"] for row in expected["rows"]][:3] == ["runtime", "ttft", "tpot"]


def test_tables():
    text = run("llama-3.1-8b", "--on", A100, "--on", H100, *CALL).stdout
    assert text.startswith(f"{A100} is llama-3.1-8b on 1 × {A100} under ideal: inference (batch=8, dtype=bf16,")
    assert text == ps.compare("llama-3.1-8b", JOB, [A100, H100]).table()
    for part in (
        "× over the first column",
        "time to first token",
        "ideal runtime",
        "memory (hbm)",
        "compute (matrix bf16)",
    ):
        assert part in text
    long = run("llama-3.1-8b", "--on", H100, *CALL, "--variant", TWICE).stdout
    assert "  A  base\n" in long
    assert f"  B  {TWICE}\n" in long


def test_the_largest_batch_is_found_for_every_column():
    result = run("gpt2-xl", "--on", "t4", "--batch", "max", "--variant", "device.memory.main.capacity=x2", "--json")
    batches = [column["workload"]["batch"] for column in json.loads(result.stdout)["columns"]]
    assert batches[1] > 2 * batches[0]


@pytest.mark.parametrize(("arguments", "message"), [
    (["gpt2", "--on", "t4"], "nothing to compare: give a second MODEL, a second --on, or a --variant"),
    (["gpt2", "--on", "t4", "--variant", "batch"], f'variant "batch": "batch" is not KEY=VALUE; {HINT}'),
    (["gpt2", "--on", "t4", "--on", "t5"], 'unknown device "t5"; did you mean t4? List them with: perfsim devices'),
    (["--on", "t4"], "Missing argument 'MODEL...'. See perfsim compare --help"),
])  # fmt: skip
def test_mistakes_are_one_line(arguments, message):
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"perfsim: {message}\n")
