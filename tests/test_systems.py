"""Published systems: every one runs, changes what it says, and every claim has a verdict."""

import pytest

from perfsim.catalog.files import read_toml
from perfsim.catalog.systems import Setup, _read, expanded, published_system, system_names
from perfsim.errors import CatalogError, UnknownNameError
from perfsim.prediction.claims import FORMS, METRICS, STATUSES, check_claims, measure, tried

NAMES = system_names()
RUNNING = [name for name in NAMES if not published_system(name).waiting and published_system(name).using]


@pytest.mark.parametrize("name", RUNNING)
def test_a_system_changes_what_it_claims_to_change(name):
    system = published_system(name)
    with_it, without = tried(system)
    new, old = measure(with_it, system.metric), measure(without, system.metric)
    assert new < old if system.lower else new > old


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_complete(name):
    system = published_system(name)
    assert system.title
    assert len(system.mechanism) > 20
    for claim in system.claims:
        assert claim.not_derivable or system.waiting or (claim.metric in METRICS and claim.form in FORMS)


def test_every_claim_has_a_verdict_and_a_reason():
    for verdict in check_claims():
        assert verdict.status in STATUSES
        assert verdict.why
        assert not verdict.why.startswith("cannot be predicted"), f"{verdict.system}: {verdict.why}"
        assert verdict.status != "holds" or verdict.low <= verdict.predicted <= verdict.high, verdict


def test_a_plausible_value_that_reaches_the_band_is_the_prediction():
    verdict = next(each for each in check_claims(["mc-moe"]) if each.metric == "memory.weights" and each.plausible)
    assert (verdict.status, verdict.low, verdict.high) == ("holds", 0.728, 0.804)
    assert verdict.plausible == (verdict.predicted, pytest.approx(0.8577, rel=1e-4))
    assert verdict.why == (
        "a plausible value of what the paper does not state reaches the band; predicted is the nearest such to the "
        "published one, the setup as stated gives 0.8577"
    )


ENTRY = """
title = "A system"
scope = "technique"
mechanism = "Weights in four bits instead of sixteen."
using = ["weight-quantization:bits=4"]
changes = { metric = "tpot", direction = "lower" }

[setup]
model = "llama-2-7b"
on = "a100-sxm4-80gb"
job = { task = "decode", context_length = 16, dtype = "fp16" }

[[claim]]
text = "half the time"
metric = "tpot"
form = "speedup"
published = 2.0
band = [1.0, 3.0]
source = "abstract"
"""


def entry(tmp_path, text):
    path = tmp_path / "a-system.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_system(tmp_path):
    system = _read(entry(tmp_path, ENTRY))
    (claim,) = system.claims
    assert claim.setup.using == ("weight-quantization:bits=4",)
    assert claim.baseline == Setup("llama-2-7b", "a100-sxm4-80gb", "ideal", None, claim.setup.job, (), {})
    with_it, without = tried(system)
    assert with_it.tpot < without.tpot


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('scope = "technique"', 'scope = "idea"', 'scope: is "idea", expected one of core, technique, model, metric'),
        ("band = [1.0, 3.0]", "band = [3.0, 1.0]", "claim[0].band: is [3.0, 1.0], expected [low, high] around the "
         "published number"),
        ("published = 2.0", "published = 4.0", "claim[0].published: is 4.0, expected a number within the band "
         "[1.0, 3.0]"),
        ('source = "abstract"', "", "claim[0].source: is missing, expected a text"),
        ('title = "A system"', 'titel = "A system"', "titel: is not known; expected some of changes, claim, declared, "
         "mechanism, notes, reference, scope, setup, title, using, workload"),
    ],
)  # fmt: skip
def test_a_malformed_entry_is_refused(tmp_path, old, new, message):
    path = entry(tmp_path, ENTRY.replace(old, new))
    with pytest.raises(CatalogError) as refusal:
        _read(path)
    assert str(refusal.value) == f"{path}: {message}"
    assert read_toml(path)


def test_an_unknown_system_is_refused():
    with pytest.raises(UnknownNameError, match='unknown system "no-such-system"'):
        expanded(["system:no-such-system"])


def test_other_techniques_pass_through():
    assert expanded(["parallel:tensor=2"]) == ["parallel:tensor=2"]
