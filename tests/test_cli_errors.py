# ruff: noqa: E501
"""Refusals of the command line: one line, exit code 2, and what to do."""

import pytest
from click.testing import CliRunner

from perfsim.cli import main as program
from perfsim.cli.main import COMMANDS, cli, one_line
from perfsim.errors import PerfsimError

PREDICT = ["predict", "gpt2", "--on", "t4"]


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def refused(*arguments):
    """The one line on stderr of a refused call."""
    result = run(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("perfsim: ")
    return result.stderr.removeprefix("perfsim: ").removesuffix("\n")


TASKS = "expected one of inference, prefill, decode, single-pass, diffusion"
MISTAKES = [
    (["predikt"], 'unknown command "predikt"; did you mean predict? List them with: perfsim --help'),
    (["--jsn"], 'unknown option "--jsn"; did you mean --version? See perfsim --help'),
    ([*PREDICT, "--batchs", 3], 'unknown option "--batchs"; did you mean --batch, --micro-batch or --global-batch? See perfsim predict --help'),
    (["predict"], "Missing argument 'MODEL'. See perfsim predict --help"),
    (["predict", "gpt2"], "Missing option '--on'. See perfsim predict --help"),
    (["stacks", "t4"], "Got unexpected extra argument (t4). See perfsim stacks --help"),
    (["show", "gadget", "t4"], 'unknown kind "gadget"; known: device, model, stack, system, technique'),
    (["show", "technique", "paralel"], 'unknown technique "paralel"; did you mean parallel or parallel-samples? List them with: perfsim techniques'),
    (["show", "device", "t5"], 'unknown device "t5"; did you mean t4? List them with: perfsim devices'),
    (["predict", "gpt22", "--on", "t4"], 'unknown model "gpt22"; did you mean gpt2, gpt2-xl or gpt2-large? List them with: perfsim models'),
    (["predict", "gpt2", "--on", "h100"],
     'unknown device "h100"; did you mean h100-pcie-80gb, h100-sxm5-80gb or gh200? List them with: perfsim devices'),
    ([*PREDICT, "--stack", "idael"], 'unknown stack "idael"; did you mean ideal? List them with: perfsim stacks'),
    ([*PREDICT, "--task", "train"], 'unknown task "train"; did you mean training?'),
    ([*PREDICT, "--task", "single-pass"], "gpt2 is a language model, but SinglePass needs a vision model; use Prefill"),
    (
        ["predict", "resnet50", "--on", "t4", "--task", "prefill"],
        "resnet50 is a vision model, but Prefill needs a language model; use SinglePass",
    ),
    ([*PREDICT, "--task", "decoding"], 'unknown task "decoding"; did you mean decode?'),
    ([*PREDICT, "--context-length", 9], "--context-length 9: --task inference takes --batch, --prompt-tokens, --output-tokens; use --task decode"),
    ([*PREDICT, "--task", "decode", "--output-tokens", 9],
     "--output-tokens 9: --task decode takes --batch, --context-length; use --task inference"),
    ([*PREDICT, "--sequence", 9], "--sequence 9: --task inference takes --batch, --prompt-tokens, --output-tokens; use --task single-pass or training"),
    ([*PREDICT, "--image-size", 224], "--image-size 224: gpt2 is a language model and sees no images; leave it out"),
    ([*PREDICT, "--batch", "many"], "Invalid value for '--batch': \"many\" is neither a whole number nor max. See perfsim predict --help"),
    ([*PREDICT, "--batch", 0], "batch=0: expected a whole number, at least 1"),
    ([*PREDICT, "--prompt-tokens", "1.5"], "Invalid value for '--prompt-tokens': '1.5' is not a valid integer. See perfsim predict --help"),
    ([*PREDICT, "--count", 0], "count=0: expected a whole number of devices, at least 1"),
    ([*PREDICT, "--dtype", "fp17"], 'unknown dtype "fp17"; did you mean fp16, fp8 or fp6?'),
    ([*PREDICT, "--set", "x"], '--set "x": expected PATH=VALUE, e.g. --set device.memory.main.bandwidth="4 TB/s"'),
    ([*PREDICT, "--set", "stack.kernel_launch=x2", "--set", "stack.kernel_launch=x3"], "--set stack.kernel_launch: stated twice; state it once"),
    ([*PREDICT, "--set", "device.memory.main.bandwidth=3 GB"], 'device.memory.main.bandwidth: "3 GB" is [byte], expected [byte/s]'),
    ([*PREDICT, "--set", "device.memory.main.bandwidth=1e-40 B/s"],
     "device.memory.main.bandwidth: '1e-40 B/s' is out of range, expected 1e-30 to 1e+30 in SI units"),
    ([*PREDICT, "--set", "memory.bandwidth=3 GB/s"],
     'unknown what-if path "memory.bandwidth"; known: device., link., model., stack. e.g. device.memory.main.bandwidth'),
    ([*PREDICT, "--using", "weight-quantization:bits=4,bits=8"], "technique weight-quantization: bits is stated twice; state it once"),
    ([*PREDICT, "--using", "parallel:tensor=2", "--tensor-parallel", 2],
     "the parallel layout is stated twice, by --using parallel and by an option; state it once"),
    ([*PREDICT, "--tensor-parallel", 5], "parallel cannot apply to gpt2: 12 attention heads cannot be split over tensor=5; use a divisor of 12"),
    ([*PREDICT, "--tensor-parallel", 2, "--count", 3],
     "parallel layout needs 2 devices (tensor × pipeline × data), the system has count=3; make them equal"),
    ([*PREDICT, "--explain", "decod"], 'unknown operator "decod"; known: embedding, embedding.add, head, head.last, head.norm, '
     "layer.attention.cache_write, layer.attention.fused, layer.attention.output, ... Phases: prefill, decode"),
    (["predict", "llama-3.1-405b", "--on", "t4", "--batch", "max", "--dtype", "fp16"],
     "--batch max: not even batch=1 fits: 812.3 GB needed per device, 16.11 GB there; use more devices, shorter sequences or fewer bits"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(map(str, m[0])) for m in MISTAKES])
def test_a_mistake_is_one_line(arguments, message):
    assert refused(*arguments) == message


def test_files_that_are_not_what_they_should_be(tmp_path):
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long.toml").write_text("a = " + "9" * 5000)
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "huge.json").write_text('{"model_type": "llama", "hidden_size": 1e400}')
    (tmp_path / "folder.toml").mkdir()

    def message(name, kind="--on"):
        path = str(tmp_path / name)
        call = ["predict", "gpt2", "--on", path] if kind == "--on" else ["predict", path, "--on", "t4"]
        return refused(*call).removeprefix(f"{path}: ")

    assert message("empty.toml") == "class: is missing, expected a text"
    assert (
        message("binary.toml")
        == "cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    )
    assert message("long.toml") == "holds a number that is too long; expected at most 4300 digits"
    assert message("deep.toml") == "nested too deeply"
    assert message("folder.toml") == "is a folder; expected a device file or a catalogue name"
    assert message("none.toml") == "no such file; expected a device file or a catalogue name"
    assert message("list.json", "model") == "is a list, expected the object of a Hugging Face config.json"
    assert message("huge.json", "model") == "hidden_size: is inf, expected a whole number from 1 to 1e9"


def test_a_trace_that_cannot_be_written_leaves_nothing(tmp_path):
    path = tmp_path / "none" / "run.json"
    assert refused(*PREDICT, "--trace", path) == (
        f"{path}: cannot be written: No such file or directory; expected a file in an existing folder"
    )
    assert list(tmp_path.iterdir()) == []


def test_control_characters_and_line_breaks_are_not_echoed():
    assert refused("predict", "gpt2", "--on", "t4\n\x1b") == (
        'unknown device "t4 \\x1b"; did you mean t4? List them with: perfsim devices'
    )
    assert one_line("a\n b\t\u2028c\udcff") == "a b c\\udcff"
    assert len(one_line("x" * 10_000)) == 2000


class Failing:
    """A command that fails in a given way."""

    def __init__(self, monkeypatch, error):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr("perfsim.cli.predict.read_request", fail)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "perfsim: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (PerfsimError("two\nlines"), 2, "perfsim: two lines\n"),
        (OSError(28, "No space left on device"), 2, "perfsim: output: No space left on device\n"),
        (
            RuntimeError("odd"),
            70,
            "perfsim: internal error: RuntimeError: odd; please report it (PERFSIM_DEBUG=1 shows where)\n",
        ),
        (
            RecursionError("deep"),
            70,
            "perfsim: internal error: RecursionError: deep; please report it (PERFSIM_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_every_failure_has_its_exit_code(monkeypatch, error, code, text):
    monkeypatch.delenv("PERFSIM_DEBUG", raising=False)
    Failing(monkeypatch, error)
    result = run(*PREDICT)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", text)


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("PERFSIM_DEBUG", "1")
    Failing(monkeypatch, RuntimeError("odd"))
    assert isinstance(run(*PREDICT).exception, RuntimeError)


def test_errors_propagate_to_whoever_calls_the_group_from_python():
    with pytest.raises(PerfsimError):
        cli.main(["predict", "gpt2", "--on", "t5"], standalone_mode=False)


def test_every_command_is_there_and_has_help():
    for name in COMMANDS:
        result = run(name, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: perfsim {name} ")
    assert run("-h").stdout == run().stdout
    assert all(name in run().stdout for name in COMMANDS)
    assert program.cli is cli
