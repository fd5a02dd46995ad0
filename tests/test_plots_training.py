"""The memory figure of training."""

from itertools import pairwise

from matplotlib.figure import Figure

import perfsim as ps
from perfsim.costs.memory import saved_activations
from perfsim.plots import memory_timeline
from perfsim.prediction.timeline import memory_timeline_of

TRAINING = {"global_batch": 8, "sequence": 128, "dtype": "bf16"}


def axes(size=(7.0, 3.6)):
    return Figure(figsize=size, layout="constrained").subplots()


def trained(using=()):
    return ps.predict("gpt2", ps.Training(**TRAINING), on="a100-sxm4-80gb", stack="megatron", using=list(using))


def test_what_training_saves_grows_forward_and_is_gone_at_the_end():
    p = trained()
    held = {phase.name: [] for phase in p.costs}
    for moment in memory_timeline_of(p).moments:
        held[moment.phase].append(moment.parts["saved_activations"])
    assert held["forward"] == sorted(held["forward"])
    assert held["forward"][-1] == saved_activations(p.costs) == held["backward"][0]
    assert held["backward"] == sorted(held["backward"], reverse=True)
    # the last kernels of a backward pass are those of the embedding, whose output the first norm has just used
    assert held["backward"][-1] == 0 == held["update"][0]


def test_what_is_computed_again_is_there_for_one_layer():
    p = trained(using=["recompute:mode=full"])
    parts = [(m.phase, m.parts["saved_activations"]) for m in memory_timeline_of(p).moments]
    forward, again = (saved_activations((cost,)) for cost in p.costs[:2])
    assert [phase.name for phase in p.costs[:2]] == ["forward", "recompute"]
    assert {size for phase, size in parts if phase == "recompute"} == {forward + again}
    assert next(size for phase, size in parts if phase == "backward") == forward + again


def test_the_legend_names_what_is_saved_and_every_phase_has_a_name():
    p = trained()
    ax = memory_timeline(p, ax=axes())
    assert "activations saved for backward" in [text.get_text() for text in ax.get_legend().get_texts()]
    above = [t for t in ax.texts if t.get_text() in ("forward", "backward", "update")]
    assert [t.get_text() for t in above] == ["forward", "backward", "update"]  # update is narrower than its name
    extents = [t.get_window_extent() for t in above]
    assert all(a.x1 < b.x0 for a, b in pairwise(extents))
    assert [t.get_text() for t in ax.texts if t.get_text().startswith("fullest")] == [
        f"fullest: {memory_timeline_of(p).peak.phase}, {memory_timeline_of(p).peak.name}"
    ]
