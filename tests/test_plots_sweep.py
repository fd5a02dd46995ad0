"""Figures of sweeps through the data of their artists; how they look is checked by eye."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import perfsim as ps
from perfsim import plots, sweeps
from perfsim.errors import InputError, UnknownNameError

BANDWIDTH = "device.memory.hbm.bandwidth"
ASKED = {"model": "llama-3.1-8b", "job": ps.Decode(context_length=2048, dtype="bf16"), "on": "l4"}


def axes():
    return Figure(figsize=(6.0, 4.0), layout="constrained").subplots()


@pytest.fixture(scope="module")
def grid():
    job, on = ASKED["job"], "h100-sxm5-80gb"
    return ps.sweep("llama-3.1-8b", job, on, batch=[1, 8, 64, 512], vary={BANDWIDTH: [1e12, 2e12, 4e12, 8e12, 16e12]})


def test_a_heat_map_shows_the_sweep(grid):
    ax = plots.heat_map(grid, "runtime", BANDWIDTH, "batch", ax=axes())
    mesh = ax.collections[0]
    expected = grid.runtime.transpose("batch", BANDWIDTH).values
    assert np.allclose(mesh.get_array().reshape(expected.shape), expected * 1e3)  # ms
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("hbm.bandwidth [TB/s]", "batch")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert not grid.fits.values.all()
    assert "hatched: does not fit" in ax.get_title(loc="left")


def test_lines_of_equal_value_lie_on_the_value(grid):
    ax = plots.heat_map(grid, "runtime", BANDWIDTH, "batch", lines=[5e-3], ax=axes())
    (contour,) = [c for c in ax.collections if hasattr(c, "levels") and len(c.levels) == 1]
    (path,) = contour.get_paths()
    fixed = grid.sel(batch=1)
    for x, y in path.vertices:
        if y == 1:
            assert np.interp(x * 1e12, fixed[BANDWIDTH].values, fixed.runtime.values) == pytest.approx(5e-3, rel=1e-6)


def test_a_tornado_shows_the_swings():
    swings = sweeps.tornado("runtime", **ASKED)
    ax = plots.tornado(swings, "runtime", ax=axes())
    widest = [p for p in ax.patches if p.get_y() < 0 < p.get_y() + p.get_height()]
    ends = sorted(p.get_x() + p.get_width() for p in widest)
    assert ends == pytest.approx(sorted(v * 1e3 for v in (swings[0].low, swings[0].high)))
    assert ax.get_yticklabels()[0].get_text() == swings[0].quantity
    with pytest.raises(InputError, match="no quantity changes the metric"):
        plots.tornado([], "runtime", ax=axes())


def test_a_crossover_shows_both_variants():
    asked = {**ASKED, "on": "h100-sxm5-80gb"}
    second = {BANDWIDTH: "x2", "device.compute.tensor.bf16": "x0.125"}
    found = sweeps.crossover("batch", first={}, second=second, between=(1, 1000), **asked)
    ax = plots.crossover(found, ax=axes())
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert np.allclose(lines["_as asked"].get_ydata(), np.array(found.first_metric) * 1e3)
    assert lines["_crossing"].get_xdata()[0] == found.crossings[0].value


def test_parallel_coordinates_show_the_points_that_fit(grid):
    ax = plots.parallel_coordinates(grid, [BANDWIDTH, "batch", "runtime"], ax=axes())
    (lines,) = [c for c in ax.collections if hasattr(c, "get_segments")]
    assert len(lines.get_segments()) == int(grid.fits.sum())
    heights = np.array([segment[:, 1] for segment in lines.get_segments()])
    assert heights.min() == 0
    assert heights.max() == 1
    with pytest.raises(InputError, match="state two columns or more"):
        plots.parallel_coordinates(grid, ["batch"], ax=axes())


def test_the_front_of_a_sweep_is_that_of_pareto(grid):
    ax = plots.sweep_front(grid, "runtime", "throughput", ax=axes())
    best = sweeps.pareto(grid, "runtime", "throughput")
    (line,) = ax.get_lines()
    assert sorted(line.get_xdata()) == pytest.approx(sorted(best.runtime.values * 1e3))
    assert len(ax.collections[0].get_offsets()) == int(grid.fits.sum())


def test_names_that_are_not_there(grid):
    with pytest.raises(UnknownNameError, match='unknown variable of the sweep "runtimes"; did you mean runtime'):
        plots.heat_map(grid, "runtimes", BANDWIDTH, "batch", ax=axes())
    with pytest.raises(InputError, match="bound counts names and has no size"):
        plots.heat_map(grid, "bound", BANDWIDTH, "batch", ax=axes())
    with pytest.raises(InputError, match="heat map over batch and batch"):
        plots.heat_map(grid, "runtime", "batch", "batch", ax=axes())
