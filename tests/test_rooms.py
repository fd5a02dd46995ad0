"""Who may import whom: a room imports only from rooms above it, and heavy libraries only where they are needed."""

import ast
import sys
from pathlib import Path

import pytest

import perfsim

PACKAGE = Path(perfsim.__file__).parent

ROOMS = (
    "errors",
    "quantities",
    "graph",
    "ops",
    "devices",
    "architectures",
    "workloads",
    "costs",  # behind workloads, not before architectures: the cost of a phase needs Phase
    "techniques",
    "importers",  # before catalog: a model TOML holds the keys of a config.json and is read by its importer
    "catalog",
    "prediction",
    "sweeps",
    "validation",
    "plots",
    "export",
    "cli",
)
"""From the top down; the package's own ``__init__`` may import from all of them."""

LAZY_ROOMS = {("prediction", "export")}
"""Imports inside functions from a room below: a result writes itself, and pays for the writer only then. The command
line also imports inside functions, to start fast; it is the last room and may import everything."""

LAZY_LIBRARIES = {
    "sympy",
    "rich",
    "matplotlib",
    "numpy",
    "networkx",
    "xarray",
    "onnx",
    "numba",
    "distributed",
    "optuna",
    "pyarrow",
    "h5netcdf",
    "h5py",
    "scipy",
}
"""Libraries that are imported inside functions, so that a plain prediction starts without them."""


def _imports(tree):
    """(line, module, lazy) of every import; ``from perfsim import x`` counts as ``perfsim.x``."""
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the full name"
            for alias in node.names:
                full = f"perfsim.{alias.name}" if node.module == "perfsim" else node.module
                yield node.lineno, full, id(node) in inside


def _room(module):
    return module.split(".")[1] if module.count(".") else ""


def violations(path, room, source):
    """Lines of ``source`` that break a rule, as text."""
    found = []
    lines = source.splitlines()
    for number, module, lazy in _imports(ast.parse(source)):
        text = f"{path}:{number}: {lines[number - 1].strip()}"
        if module.startswith("perfsim."):
            target = _room(module)
            if target in perfsim.__all__ or target == "__version__":  # the public API, for the command line alone
                if room != "cli":
                    found.append(f"{text}  <- only cli may import from the package itself")
            elif target not in ROOMS:
                found.append(f"{text}  <- {target} is not a room")
            elif room and ROOMS.index(target) > ROOMS.index(room) and not (lazy and (room, target) in LAZY_ROOMS):
                found.append(f"{text}  <- {room} may not import from {target}")
            elif lazy and room not in ("cli", target) and (room, target) not in LAZY_ROOMS:
                found.append(f"{text}  <- import it at the top of the file")
        elif lazy and module.split(".")[0] not in LAZY_LIBRARIES:
            found.append(f"{text}  <- import it at the top of the file")
    return found


def _modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        yield (
            relative,
            ""
            if relative.name == "__init__.py" and len(relative.parts) == 1
            else relative.parts[0].removesuffix(".py"),
        )


def test_every_module_is_in_a_room():
    assert {room for _, room in _modules()} - {""} - set(ROOMS) == set()


def test_rooms_import_from_above_only():
    found = [
        line
        for path, room in _modules()
        for line in violations(path, room, (PACKAGE / path).read_text(encoding="utf-8"))
    ]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("room", "source", "message"),
    [
        ("graph", "from perfsim.ops import Linear", "graph may not import from ops"),
        ("costs", "import perfsim.prediction.predict", "costs may not import from prediction"),
        ("devices", "def f():\n    from perfsim.costs import x", "devices may not import from costs"),
        ("costs", "def f():\n    from perfsim.ops import x", "import it at the top of the file"),
        ("ops", "def f():\n    import json", "import it at the top of the file"),
        ("ops", "from perfsim.helpers import x", "helpers is not a room"),
        ("plots", "from perfsim import predict", "only cli may import from the package itself"),
    ],
)
def test_the_check_sees_what_it_should(room, source, message):
    (line,) = violations("file.py", room, source)
    assert line.endswith(f"  <- {message}")
    assert line.startswith(f"file.py:{source.count(chr(10)) + 1}: ")


def test_allowed_lazy_imports_pass():
    assert violations("file.py", "prediction", "def f():\n    from perfsim.export.trace import write_trace") == []
    assert violations("file.py", "graph", "def f():\n    import networkx") == []
    assert violations("file.py", "prediction", "def f():\n    from perfsim.prediction.tables import t") == []


LIGHT = """
import sys, perfsim as ps
ps.predict("gpt2", ps.Decode(context_length=9, dtype="fp16"), on="a100-sxm4-80gb").runtime
heavy = [name for name in ("sympy", "matplotlib", "networkx", "rich", "xarray", "numpy") if name in sys.modules]
print(",".join(heavy))
"""


def test_a_prediction_loads_no_heavy_library():
    import subprocess

    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
