"""README and docs as programs: their examples run, their tables are made from the code.

``python -m tests.pages`` writes the generated parts anew; the tests compare them and run everything else.
A block ```` ```toml my-chip.toml ```` is written to that file of an empty folder; ``perfsim …`` lines of shell blocks
and ``>>>`` examples then run there, in the order of the page.
"""

import doctest
import os
import re
import shlex
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")), "CONTRIBUTING.md")
MAIN_JOB = "predict llama-2-7b --on a100-sxm4-80gb --stack vllm --batch 8 --prompt-tokens 1024 --output-tokens 128"

_BLOCK = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.M | re.S)
_GENERATED = re.compile(r"<!-- generated: ([^>]*?) -->\n(.*?)<!-- end -->", re.S)


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """(language, file name or None, text) of every fenced block."""
    return [(m[1], m[2], m[3]) for m in _BLOCK.finditer(read(page))]


def commands(text):
    """Commands of a shell block; a trailing backslash continues a line, ``  #`` starts a remark."""
    lines = (line.partition("  #")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line]


def shell_lines(page):
    """Commands of all shell blocks of a page."""
    return [c for language, _, text in blocks(page) if language == "shell" for c in commands(text)]


def perfsim_arguments(command):
    """Arguments of a ``perfsim`` command, None for any other."""
    first, _, rest = command.removeprefix(".venv/bin/").partition(" ")
    return shlex.split(rest) if first == "perfsim" else None


def command_output(arguments):
    """Output of the command line; any refusal fails."""
    from click.testing import CliRunner

    from perfsim.cli.main import cli

    done = CliRunner(env={"COLUMNS": "120"}).invoke(cli, arguments, prog_name="perfsim")
    assert done.exit_code == 0, f"perfsim {shlex.join(arguments)}: {done.output}"
    return done.stdout


def run(page):
    """Write the page's files and run its commands and examples in an empty folder; return how many ran."""
    ran = 0
    names = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        for language, name, text in blocks(page):
            if name is not None:
                Path(name).write_text(text, encoding="utf-8")
            elif language == "shell":
                for arguments in filter(None, map(perfsim_arguments, commands(text))):
                    command_output(arguments)
                    ran += 1
            elif language == "python":
                test = doctest.DocTestParser().get_doctest(text, names, page, page, 0)
                assert test.examples, f"{page}: a python block without >>> and without a file name is not tested"
                failed, tried = runner.run(test, clear_globs=False)
                assert not failed, f"{page}: {failed} of {tried} examples failed"
                names = test.globs
                ran += tried
        os.chdir(ROOT)
    return ran


# ---- generated parts


@lru_cache(maxsize=16)
def report(suite):
    from perfsim.validation.suites import run_suite

    return run_suite(suite)


def _table(columns, rows):
    marks = ["---" if i < 2 else "---:" for i in range(len(columns))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (columns, marks, *rows)) + "\n"


def _numbers(statistics):
    return [statistics["rows"], *(f"{statistics[name]:.1f}" for name in ("mape", "mdape", "bias", "p90"))]


COLUMNS = ("rows", "mean", "median", "bias", "90th")


def generated_predict():
    head = command_output(shlex.split(MAIN_JOB)).split("memory per device")[0].rstrip()
    return f"```text\n{head}\n```\n"


def generated_commands():
    from perfsim.cli.main import COMMANDS

    return _table(("command", "what it does"), [(f"`perfsim {name}`", text) for name, text in COMMANDS.items()])


def generated_summary():
    from perfsim.validation.suites import SUITES

    rows = []
    for name, (what, _) in SUITES.items():
        for fitted, word in ((False, "unseen"), (True, "fitted")):
            chosen = [p for p in report(name).pairs if p.fitted is fitted]
            if chosen:
                rows.append((f"`{name}`: {what}", word, *_numbers(report(name).statistics(chosen))))
    return _table(("suite", "", *COLUMNS), rows)


def generated_suite(name):
    found = report(name)
    rows = [
        (f"{model} on {device}", "fitted" if fitted else "unseen", *_numbers(found.statistics(pairs)))
        for device, model, fitted, pairs in found.groups()
    ]
    return _table(("model", "", *COLUMNS), rows)


def generated_worst(name):
    rows = [(p.what, f"{p.model} on {p.device}", f"{100 * p.error:+.0f} %") for p in report(name).worst()]
    return _table(("row", "model", "error"), rows)


def generated_technique_overview():
    from tests.technique_page import overview

    return _table(*overview())


def generated_technique_sections():
    from tests.technique_page import sections

    return sections()


def generated(what):
    """Text of a generated part by the name in its marker."""
    name, _, argument = what.strip().partition(" ")
    return globals()[f"generated_{name}"](*([argument] if argument else []))


def generated_parts(page):
    """(name, stored text) of every generated part."""
    return [(m[1], m[2]) for m in _GENERATED.finditer(read(page))]


def rewrite(page):
    text = _GENERATED.sub(lambda m: f"<!-- generated: {m[1]} -->\n{generated(m[1])}<!-- end -->", read(page))
    (ROOT / page).write_text(text, encoding="utf-8")


_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def differences(stored, fresh):
    """Lines that differ by more than the rounding of another machine's arithmetic."""
    old, new = stored.strip().splitlines(), fresh.strip().splitlines()
    if len(old) != len(new):
        return [f"{len(old)} lines stored, {len(new)} now"]
    return [f"{a}\n{b}" for a, b in zip(old, new, strict=True) if not _same(a, b)]


def _same(a, b):
    blank_a, blank_b = (" ".join(_NUMBER.sub("#", line).split()) for line in (a, b))
    pairs = list(zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=False))
    return blank_a == blank_b and all(abs(float(x) - float(y)) <= 0.11 + 0.002 * abs(float(y)) for x, y in pairs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        print(f"{run(sys.argv[2])} examples ran")
    else:
        for each in PAGES:
            rewrite(each)
