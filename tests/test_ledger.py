"""The ledger: what each optimization buys."""

import pytest

import perfsim as ps
from perfsim.errors import InputError
from tests.test_cli_commands import as_json

JOB = ps.Decode(context_length=2048, batch=8, dtype="bf16")
USING = ["semi-structured-sparsity", "weight-quantization:bits=4", "kv-cache-quantization"]


def book(using=USING, **more):
    return ps.ledger("llama-3.1-8b", JOB, "h100-sxm5-80gb", using=using, **more)


def test_every_entry_is_predicted_alone_in_order_and_last():
    result = book()
    for index, entry in enumerate(result.entries):
        alone = ps.predict("llama-3.1-8b", JOB, "h100-sxm5-80gb", using=[USING[index]])
        after = ps.predict("llama-3.1-8b", JOB, "h100-sxm5-80gb", using=USING[: index + 1])
        rest = [name for name in USING if name != USING[index]]
        without = ps.predict("llama-3.1-8b", JOB, "h100-sxm5-80gb", using=rest)
        assert entry.alone.runtime == alone.runtime
        assert entry.after.runtime == after.runtime
        assert entry.without.runtime == without.runtime
    assert result.total.runtime == result.entries[-1].after.runtime


def test_factors_in_order_multiply_to_the_total():
    result = book()
    product, before = 1.0, result.base
    for entry in result.entries:
        product *= result.factor(entry.after, before, "runtime")
        before = entry.after
    assert product == pytest.approx(result.base.runtime / result.total.runtime)


def test_one_technique_has_no_interaction_and_no_other_order():
    result = book(USING[:1])
    assert result.interaction["runtime"] == 1.0
    assert result.orders == ()
    assert not result.order_matters


def test_three_techniques_have_five_other_orders():
    assert len(book().orders) == 5  # 3! - 1


def test_an_order_that_is_refused_says_why():
    refused = [order for order in book().orders if order.runtime is None]
    assert refused
    assert book().order_matters
    assert "apply it before techniques that pack or replace the weights" in refused[0].refusal


def test_the_bottleneck_names_kind_bound_and_share():
    text = book().to_dict()["base"]["bottleneck"]
    assert text.startswith("linear, memory-bound in decode (")


def test_an_empty_ledger_is_refused():
    with pytest.raises(InputError) as refusal:
        book([])
    assert str(refusal.value) == "using is empty: a ledger books optimizations; give at least one technique"


def test_the_command_prints_the_same_numbers():
    arguments = ["llama-3.1-8b", "--on", "h100-sxm5-80gb", "--task", "decode", "--context-length", "2048"]
    document = as_json("ledger", *arguments, "--batch", "8", "--dtype", "bf16", *(f"--using={u}" for u in USING))
    assert document["total"] == book().to_dict()["total"]
    assert [entry["technique"].split(":")[0] for entry in document["entries"]] == [u.split(":")[0] for u in USING]
