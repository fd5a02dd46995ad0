"""What may be given as what: numbers of other libraries, path objects, ranges; and what is told where it may not."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.catalog.files import data_root
from perfsim.cli.main import cli
from perfsim.errors import CatalogError, InputError

ASKED = {"model": "llama-3.1-8b", "job": ps.Decode(dtype="bf16"), "on": "h100-sxm5-80gb", "so_that": "fits"}


def refused(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.removeprefix("perfsim: ").removesuffix("\n")


def test_numbers_of_other_libraries_are_numbers():
    plain = ps.predict("gpt2", ps.Inference(batch=4, prompt_tokens=64, output_tokens=3), on="t4")
    job = ps.Inference(batch=np.int64(4), prompt_tokens=np.int32(64), output_tokens=np.uint8(3))
    assert [type(value) for value in (job.batch, job.prompt_tokens, job.output_tokens)] == [int, int, int]
    assert ps.predict("gpt2", job, on="t4").runtime == plain.runtime
    assert ps.system("h100-sxm5-80gb", count=np.int64(2)).count == 2
    faster = [
        ps.predict("gpt2", job, on="t4", what_if={"device.memory.main.bandwidth": value}).runtime
        for value in (640e9, np.float32(640e9), np.int64(640 * 10**9), Fraction(640 * 10**9))
    ]
    assert faster == pytest.approx([faster[0]] * 4, rel=1e-7)
    with pytest.raises(InputError, match=r"^batch=1\.5: expected a whole number, at least 1$"):
        ps.Inference(batch=np.float64(1.5))
    with pytest.raises(InputError, match=r"^batch=True: expected a whole number, at least 1$"):
        ps.Inference(batch=True)


def test_paths_are_files(tmp_path, monkeypatch):
    shutil.copy(next((data_root() / "hardware").rglob("t4.toml")), tmp_path / "my-t4.toml")
    shutil.copy(next((data_root() / "models").rglob("gpt2.toml")), tmp_path / "mine.toml")
    expected = ps.predict("gpt2", ps.Decode(), on="t4").runtime
    monkeypatch.chdir(tmp_path)
    assert ps.predict(Path("mine.toml"), ps.Decode(), on=tmp_path / "my-t4.toml").runtime == expected
    found = ps.sweep([Path("mine.toml")], ps.Decode(), [Path("my-t4.toml")], batch=[1])
    assert float(found.runtime.squeeze()) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(CatalogError, match=r"^\./t4: no such file; expected a device file or a catalogue name$"):
        ps.device(Path("t4"))  # a path is never a name


def test_what_is_no_file_is_told(tmp_path):
    (tmp_path / "a.toml").mkdir()
    assert refused("predict", "gpt2", "--on", tmp_path / "a.toml") == (
        f"{tmp_path / 'a.toml'}: is a folder; expected a device file or a catalogue name"
    )
    assert refused("predict", "/dev/null", "--on", "t4") == (
        "/dev/null: is no regular file; expected a model file or a catalogue name"
    )


def test_a_table_of_something_else_is_refused(tmp_path):
    wrong, empty = tmp_path / "wrong.csv", tmp_path / "empty.csv"
    wrong.write_text("a,b\n")
    columns = "source,model,megatron_profile,tensor_parallel,gpus_charged,prompt_tokens,runtime_for_prompt_s"
    empty.write_text(f"{columns},runtime_per_output_token_s\n")
    assert refused("idealized", "--file", wrong) == (
        f"{wrong}: not the table of idealized runtimes: column source is missing; expected its columns"
    )
    assert refused("idealized", "--file", empty) == (
        f"{empty}: holds none of the ten models at 512 prompt tokens on a100 or v100"
    )


def test_messages_name_what_was_asked():
    assert refused("solve", "gpt2", "--on", "t4", "--find", "batch", "--so-that", "fits", "--between", "1:2:3") == (
        '--between "1:2:3": expected LOW:HIGH, e.g. "1 TB/s:8 TB/s"'
    )
    assert refused("sweep", "gpt2", "--on", "t4", "--vary", "using=a") == (
        "--vary using: chains of techniques do not vary here; state --using, and vary a parameter of it with "
        "--vary using.NAME.PARAMETER=SPEC"
    )
    assert refused("sweep", "gpt2", "--on", "t4", "--vary", "foo=1") == (
        'unknown axis "foo"; known: batch, count, device, device.memory.main.bandwidth, dtype, model, output_tokens, '
        "prompt_tokens, ... Axes are fields of the job or what-if paths"
    )
    assert refused("predict", "gpt2", "--on", "t4", "--using", "block-fusion") == (
        "block-fusion cannot apply to gpt2: it has no chain of convolutions that one kernel could run"
    )
    p = ps.predict("resnet50", ps.SinglePass(), on="stm32l4r5")
    with pytest.raises(InputError) as refusal:
        ps.duty_cycle(p, frame_rate=1e9)
    assert str(refusal.value) == "frame_rate=1000000000.0: expected frames per second, above 0 and below 1e9"


def test_refused_values_say_nothing_about_constraints():
    """Batch 0 is no batch, and 3 devices cannot share 32 heads: neither is a limit of the memory."""
    assert refused("predict", "llama-3.1-8b", "--on", "h100-sxm5-80gb", "--batch", 0)
    batch = ps.solve("batch", between=(0, 5), **ASKED)
    assert (batch.want, batch.value, batch.monotone) == ("largest", 5, True)
    count = ps.solve("count", **ASKED)
    assert (count.want, count.value, count.monotone) == ("smallest", 1, True)
    large = ps.solve("count", **{**ASKED, "model": "llama-3.1-70b"})
    assert (large.want, large.value, large.monotone) == ("smallest", 2, True)
