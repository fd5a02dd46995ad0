"""Searches: against every design predicted one by one, and every allocation listed."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.errors import InputError
from perfsim.sweeps.search import (
    DesignEnvironment,
    Exhaustive,
    Option,
    OptunaSearch,
    allocate,
    bits_per_layer,
    layouts,
    search,
    stacks,
)
from perfsim.sweeps.search.budget import weights_per_layer

ASKED = {"model": "llama-3.1-8b", "job": ps.Decode(batch=8, context_length=2048, dtype="bf16"), "on": "l4"}
numbers = st.integers(0, 20)


@given(
    st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=3), min_size=1, max_size=5), st.integers(0, 60)
)
def test_allocations_are_the_best_of_all(table, budget):
    layers = {f"layer{i}": [Option(f"{c},{v}", c, v) for c, v in options] for i, options in enumerate(table)}
    fitting = [sum(v for _, v in pick) for pick in product(*table) if sum(c for c, _ in pick) <= budget]
    if not fitting:
        with pytest.raises(InputError, match="the cheapest options cost"):
            allocate(layers, budget)
        return
    found = allocate(layers, budget)
    assert found.loss == min(fitting)
    assert found.cost == sum(o.cost for o in found.chosen.values()) <= budget
    assert found.loss == sum(o.loss for o in found.chosen.values())


def test_bits_per_layer_count_every_weight():
    from perfsim.sweeps.design import Design

    weights = weights_per_layer(Design(*(ASKED[k] for k in ("model", "job", "on"))))
    assert weights["layer.mlp.down"] == 32 * 14336 * 4096
    two = {"layer.mlp.down": {4: 1.0, 8: 0.1}, "layer.attention.output": {4: 3.0, 8: 0.2}}
    size = lambda name, bits: weights[name] * (bits / 8 + 2 / 128)  # noqa: E731
    budget = size("layer.mlp.down", 4) + size("layer.attention.output", 8)
    found = bits_per_layer(two, budget, **ASKED)
    assert {name: option.name for name, option in found.chosen.items()} == {
        "layer.mlp.down": "4 bit", "layer.attention.output": "8 bit",
    }  # fmt: skip
    assert found.loss == 1.2
    with pytest.raises(InputError, match="layer nowhere has no weights; those with weights are "):
        bits_per_layer({"nowhere": {4: 1.0}}, "1 GB", **ASKED)


def by_hand(space, metric, **asked):
    found = []
    for values in product(*space.values()):
        choice = dict(zip(space, values, strict=True))
        job = asked["job"].replace(**{k: v for k, v in choice.items() if k == "batch"})
        rest = {k: v for k, v in choice.items() if k != "batch"}
        try:
            p = ps.predict(asked["model"], job, asked["on"], **rest)
        except ps.PerfsimError:
            continue
        if p.memory.fits:
            found.append(getattr(p, metric))
    return found


def test_layouts_are_all_tried():
    space = layouts(8)
    assert len(space["using"]) == 10  # ordered triples with product 8 = 2^3: C(5, 2)
    asked = {**ASKED, "job": ps.Inference(batch=16, prompt_tokens=256, output_tokens=8, dtype="bf16")}
    found = search(space, metric="throughput", strategy=Exhaustive(), **asked)
    assert found.complete
    assert found.best[0][0] == max(by_hand(space, "throughput", **asked))
    assert [value for value, _ in found.best] == sorted((value for value, _ in found.best), reverse=True)


def test_stacks_of_techniques_and_pruning():
    chains = stacks(["weight-quantization:bits=4", "weight-quantization:bits=8"], ["kv-cache-quantization"])
    assert len(chains) == 3 * 2
    space = {"using": chains, "batch": [1, 64, 512, 4096, 8192]}
    plain = search(space, metric="runtime", strategy=Exhaustive(), keep=3, **ASKED)
    pruned = search(space, metric="runtime", strategy=Exhaustive(grows=("batch",)), keep=3, **ASKED)
    assert [value for value, _ in pruned.best] == [value for value, _ in plain.best]
    assert plain.best[0][0] == min(by_hand(space, "runtime", **ASKED))
    assert pruned.pruned > 0
    assert pruned.evaluated + pruned.pruned == plain.evaluated == 30


def test_a_space_can_be_too_large():
    with pytest.raises(InputError, match="space: 100 designs, at most 10 are tried"):
        search({"batch": list(range(1, 101))}, metric="runtime", strategy=Exhaustive(most=10), **ASKED)
    with pytest.raises(InputError, match="space: batch has no values"):
        search({"batch": []}, metric="runtime", strategy=Exhaustive(), **ASKED)


def test_optuna_behind_the_same_interface():
    pytest.importorskip("optuna", reason="optuna is optional: pip install optuna")
    space = {"batch": [1, 2, 4, 8, 16, 32, 64], "using": stacks(["weight-quantization:bits=4"])}
    best = search(space, metric="throughput", strategy=Exhaustive(), **ASKED).best[0]
    found = search(space, metric="throughput", strategy=OptunaSearch(trials=60), **ASKED)
    assert found.best[0][0] == best[0]
    assert found.evaluated <= found.size == 14


def test_without_optuna_there_is_a_message(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"OptunaSearch needs optuna; install it with: pip install optuna, or perfsim\[all\]"
    ):
        search({"batch": [1]}, metric="runtime", strategy=OptunaSearch(), **ASKED)


def test_an_environment_pays_what_the_prediction_says():
    space = {"batch": [1, 8, 10**6], "stack": ["ideal", "vllm"]}
    environment = DesignEnvironment(space, metric="runtime", length=2, **ASKED)
    assert environment.action_space.nvec == (3, 2)
    observation, info = environment.reset(seed=1)
    assert (len(observation), info) == (3, {})
    observation, reward, terminated, truncated, info = environment.step((1, 1))
    p = ps.predict("llama-3.1-8b", ASKED["job"], "l4", stack="vllm")
    assert reward == -p.runtime
    assert observation[:2] == (p.runtime, p.memory.total)
    assert (terminated, truncated, info["feasible"]) == (False, False, True)
    _, reward, _, truncated, info = environment.step((2, 0))
    assert (reward, truncated, info["feasible"]) == (-1e9, True, False)
    with pytest.raises(InputError, match="expected one place per name"):
        environment.step((3, 0))
