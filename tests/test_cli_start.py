"""The program as a process: quick to start, quiet when its reader goes away, whole when its disk is full."""

import os
import re
import subprocess
import sys

import pytest

import perfsim

PROGRAM = [sys.executable, "-m", "perfsim.cli.main"]
CALL = ["predict", "llama-3.1-8b", "--on", "h100-sxm5-80gb"]


def run(*arguments, options=(), **fields):
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "PERFSIM_DEBUG")} | fields.pop("env", {})
    command = [sys.executable, *options, *PROGRAM[1:], *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **fields)


def test_version_and_one_line_for_a_mistake():
    assert run("--version").stdout == f"perfsim {perfsim.__version__}\n"
    result = run("predict", "gpt2", "--on", "t5")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == 'perfsim: unknown device "t5"; did you mean t4? List them with: perfsim devices\n'


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        ([*CALL, "--json"], {"rich", "sympy", "networkx", "matplotlib", "scipy"}),
        (CALL, {"sympy", "networkx", "matplotlib", "scipy", "rich.syntax", "rich.markdown"}),
        ([*CALL, "--task", "decode", "--json"], {"numpy", "rich", "sympy", "networkx", "matplotlib", "scipy"}),
        (["devices", "--json"], {"numpy", "rich", "sympy", "networkx", "matplotlib", "scipy"}),
    ],
)
def test_heavy_libraries_stay_out(arguments, absent):
    result = run(*arguments, options=["-X", "importtime"])
    assert result.returncode == 0
    loaded = set(re.findall(r"\| +([\w.]+)$", result.stderr, flags=re.MULTILINE))
    assert {"perfsim.errors", "click"} <= loaded
    assert loaded & absent == set()


def test_a_command_loads_only_itself():
    code = (
        "import atexit, sys; from perfsim.cli.main import main; sys.argv = ['perfsim', 'stacks'];"
        "loaded = lambda: sorted(name for name in sys.modules if name.startswith('perfsim.cli.'));"
        "atexit.register(lambda: print(*loaded(), file=sys.stderr)); main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.split() == ["perfsim.cli.main", "perfsim.cli.output", "perfsim.cli.stacks"]


def test_an_interruption_while_it_loads_is_one_line():
    """Ctrl-C at the first import of the command line: what starts it has loaded nothing of perfsim but itself."""
    code = (
        "import sys\n"
        "from perfsim.cli.start import main\n"
        "assert [name for name in sys.modules if name.startswith('perfsim')] == [\n"
        "    'perfsim', 'perfsim.cli', 'perfsim.cli.start']\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "perfsim: interrupted\n")


def test_a_closed_pipe_is_quiet():
    with subprocess.Popen(
        [*PROGRAM, "show", "device", "gap8", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        result = subprocess.run([*PROGRAM, "stacks"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (2, "perfsim: output: No space left on device\n")


def test_a_terminal_without_a_character_gets_replacements():
    result = run(*CALL, env={"PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("llama-3.1-8b on 1 × h100-sxm5-80gb under ideal")
    assert " ????" in result.stdout  # the rule of a table


def test_arguments_that_are_not_utf8():
    result = subprocess.run(
        [*map(os.fsencode, PROGRAM), b"predict", b"gpt2", b"--on", b"t4\xff"], capture_output=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == b'perfsim: unknown device "t4\\udcff"; did you mean t4? List them with: perfsim devices\n'
