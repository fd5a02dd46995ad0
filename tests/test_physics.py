"""The physics gate: nothing is faster than its device, better hardware never hurts, parts sum to the whole."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import perfsim as ps
from perfsim.architectures import LanguageModel
from perfsim.catalog import device_names, model_names, stack_names
from perfsim.costs import power_model
from perfsim.costs.collectives import collective_runtime
from perfsim.devices import Link
from perfsim.errors import InputError
from perfsim.graph import Unit
from perfsim.ops import AllGather, AllReduce, SendReceive
from perfsim.quantities.dtypes import dtype as find_dtype
from perfsim.quantities.numbers import over_steps
from perfsim.workloads import job_of
from tests.strategies import devices, jobs, make_device, models, stacks, techniques

LEAST = 1 - 1e-9
"""Room for rounding."""


def assert_within_physics(p):
    """Runtime at least matrix work over the matrix peak, and traffic over bandwidth, in every phase and in total."""
    device, format_ = p.system.device, find_dtype(p.job.dtype)
    peak = device.peak(Unit.TENSOR, format_)
    fastest = max(peak, device.peak(Unit.VECTOR, format_), device.peak(Unit.VECTOR, find_dtype("fp32")))
    for phase in p.costs:
        matrix = sum(over_steps(cost.matrix_flops * count, phase.steps) for cost, count in phase.kernels)
        assert phase.runtime >= matrix / peak * LEAST
        assert phase.runtime >= phase.traffic / device.bandwidth * LEAST
        other = phase.flops - matrix
        assert phase.runtime >= other / fastest * LEAST
    assert p.runtime >= p.traffic / (device.bandwidth * p.devices) * LEAST
    assert p.mbu <= 1 / LEAST
    assert sum(phase.runtime for phase in p.costs) == p.runtime
    assert p.interval[0] >= p.ideal.runtime * LEAST
    assert p.interval[0] <= p.runtime / LEAST
    assert p.interval[1] >= p.runtime * LEAST
    power = power_model(device)
    if power is not None:
        assert 0 < p.energy <= power.maximum * p.runtime * p.devices / LEAST
    m = p.memory
    assert m.total == m.weights + m.kv_cache + m.activations + m.gradients + m.optimizer_states + m.workspace
    assert m.weights > 0
    generates = isinstance(p.model, LanguageModel) and not isinstance(p.job, ps.SinglePass)
    assert m.kv_cache > 0 or not generates or "mamba" in p.model.name  # a state instead of a cache
    assert p.flops > 0


SAMPLE = ("a100-sxm4-80gb", "rtx-4090", "mi300x", "tpu-v5e", "raspberry-pi-5")
STACKS = [  # the others need scratchpads and fixed sizes, or are for training
    name for name in stack_names() if not ps.stack(name).tiles and "inference" in ps.stack(name).jobs
]


@pytest.mark.parametrize("name", model_names())
def test_every_model(name):
    on = SAMPLE[sum(map(ord, name)) % len(SAMPLE)]
    model = ps.model(name)
    wanted = {"prompt_tokens": 300, "output_tokens": 20} if model.usual_task == "inference" else {}
    job = job_of(model, {"batch": 2, **wanted})
    assert_within_physics(ps.predict(name, job, on=on))


@pytest.mark.parametrize("name", ["llama-3.1-8b", "gpt2", "mixtral-8x7b", "deepseek-v3", "gpt-oss-20b", "falcon-40b"])
@pytest.mark.parametrize("on", SAMPLE)
def test_every_kind_of_model_on_every_kind_of_device(name, on):
    for job in (ps.Prefill(prompt_tokens=700), ps.Decode(context_length=700, batch=64)):
        assert_within_physics(ps.predict(name, job, on=on))


@pytest.mark.parametrize("name", device_names())
def test_every_device(name):
    device = ps.device(name)
    ready = f"memory.{device.main_memory}.bandwidth" in device.data
    if not (ready and device.formats):
        with pytest.raises(InputError):  # it must say so, not predict nonsense
            ps.predict("gpt2", ps.Inference(), on=device)
        return
    if f"memory.{device.main_memory}.capacity" not in device.data:
        p = ps.predict("gpt2", ps.Inference(), on=device)
        assert (p.memory.capacity, p.memory.fits) == (None, None)
        assert p.remarks[-1] == f"no source gives the memory of {name}: whether it fits is not known"
    for job in (ps.Inference(prompt_tokens=200, output_tokens=10), ps.Decode(context_length=500, batch=32)):
        for stack in STACKS:
            if ps.stack(stack).suits(device):
                assert_within_physics(ps.predict("gpt2", job, on=device, stack=stack))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", ["llama-3.1-8b", "gpt-j-6b", "mixtral-8x7b", "deepseek-v2-lite", "gemma-2-9b"])
def test_no_stack_beats_ideal(name, stack):
    on = next(on for on in ("a100-sxm4-80gb", "raspberry-pi-5", "stm32h743") if ps.stack(stack).suits(ps.device(on)))
    for job in (
        ps.Inference(prompt_tokens=500, output_tokens=8, batch=4),
        ps.Prefill(prompt_tokens=1),
        ps.Decode(batch=128),
    ):
        for count in (1, 2) if ps.device(on).link_names else (1,):
            p = ps.predict(name, job, on=on, stack=stack, count=count)
            assert_within_physics(p)
            assert p.runtime >= p.ideal.runtime * LEAST


@settings(max_examples=60)
@given(models(), jobs(), devices(), stacks(), techniques(), st.sampled_from([1, 2, 4]))
def test_random_jobs_stay_within_physics(model, job, device, stack, using, count):
    assert_within_physics(ps.predict(model, job, on=device, stack=stack, using=using, count=count))


IDEAL_RULES = (
    "*+vector",
    "bias+gelu",
    "vector+vector",
    "linear+vector",
    "linear+bias",
    "dequantize+linear",
    "dequantize+experts",
)
"""Fusions that the ideal stack has, too. Other groupings into kernels overlap other pairs of activities."""


@settings(max_examples=60)
@given(models(), jobs(), devices(), stacks(fuse=IDEAL_RULES), techniques(), st.sampled_from([1, 2, 4]))
def test_no_random_stack_beats_ideal(model, job, device, stack, using, count):
    p = ps.predict(model, job, on=device, stack=stack, using=using, count=count)
    assert p.runtime >= p.ideal.runtime * LEAST


BETTER = {
    "bandwidth": ["memory.hbm.bandwidth"],
    "matrix peak": ["compute.tensor.fp16", "compute.tensor.int8", "compute.tensor.bf16"],
    "vector peak": ["compute.vector.fp32"],
    "link": ["link.nvlink.bandwidth", "link.pcie.bandwidth"],
    "capacity": ["memory.hbm.capacity"],
}


@settings(max_examples=40)
@given(models(), jobs(), devices(), stacks(), st.sampled_from([1, 4]), st.sampled_from(sorted(BETTER)))
def test_better_hardware_never_slows_down(model, job, device, stack, count, what):
    better = device.replace(**dict.fromkeys(BETTER[what], "x2"))
    for software in ("ideal", stack):
        before, after = (ps.predict(model, job, on=d, stack=software, count=count) for d in (device, better))
        assert after.runtime <= before.runtime / LEAST
        assert after.memory.total == before.memory.total


@given(models(), jobs(), devices())
def test_doubling_all_rates_halves_the_ideal_runtime(model, job, device):
    rates = [path for path in device.data if path.startswith("compute.") or path.endswith(".bandwidth")]
    twice = device.replace(**dict.fromkeys(rates, "x2"))
    for count in (1, 4):
        slow, fast = (ps.predict(model, job, on=d, count=count).runtime for d in (device, twice))
        assert fast == pytest.approx(slow / 2, rel=1e-12)


@settings(max_examples=40)
@given(models(), jobs(), devices(), stacks(), st.data())
def test_more_work_takes_longer(model, job, device, stack, data):
    fields = [f for f in ("batch", "prompt_tokens", "output_tokens", "context_length") if hasattr(job, f)]
    field = data.draw(st.sampled_from(fields))
    more = job.replace(**{field: getattr(job, field) + data.draw(st.integers(1, 100))})
    stack = stack.replace(misaligned_efficiency=1.0)  # odd numbers of positions may be slower
    for software in ("ideal", stack):
        small, large = (ps.predict(model, j, on=device, stack=software) for j in (job, more))
        assert large.runtime >= small.runtime * LEAST
        assert large.flops >= small.flops * LEAST
        assert large.traffic >= small.traffic * LEAST
        assert large.memory.total >= small.memory.total * LEAST


COST_UP = {
    "kernel_launch": 1e-6,
    "host_per_layer": 1e-5,
    "host_per_step": 1e-5,
    "collective_latency": 1e-5,
    "step_gap": 1e-5,
}
COST_DOWN = ("compute_efficiency", "attention_efficiency", "bandwidth_efficiency", "link_efficiency")


@given(models(), jobs(), devices(), stacks(), st.sampled_from([1, 4]))
def test_a_worse_stack_is_never_faster(model, job, device, stack, count):
    base = ps.predict(model, job, on=device, stack=stack, count=count).runtime
    for name, extra in COST_UP.items():
        worse = stack.replace(**{name: stack.parameter(name) + extra})
        assert ps.predict(model, job, on=device, stack=worse, count=count).runtime >= base * LEAST, name
    for name in COST_DOWN:
        worse = stack.replace(**{name: stack.parameter(name) / 2})
        assert ps.predict(model, job, on=device, stack=worse, count=count).runtime >= base * LEAST, name


@given(models(), jobs(), devices(), st.sampled_from([1, 2, 4]))
def test_tensor_parallelism_never_adds_work_or_memory_to_a_device(model, job, device, count):
    alone, shared = (ps.predict(model, job, on=device, count=n) for n in (1, count))
    assert shared.memory.weights <= alone.memory.weights
    assert shared.memory.weights * count >= alone.memory.weights  # replicated parts make it more, never less
    assert shared.flops >= alone.flops * LEAST
    assert shared.flops <= alone.flops * count / LEAST


def test_matrix_work_that_a_vector_unit_does_shares_its_time():
    """Without a matrix unit both kinds of work wait for one unit: total work over its peak is a lower bound."""
    device = make_device(bandwidth=1e30)
    data = {path: datum for path, datum in device.data.items() if not path.startswith("compute.tensor")}
    cpu = replace(device, data=data)
    p = ps.predict("gpt2", ps.Prefill(prompt_tokens=64, dtype="fp32"), on=cpu)
    assert p.runtime >= p.flops / cpu.peak(Unit.VECTOR, find_dtype("fp32")) * LEAST


INNER, OUTER = Link("in", 3e11, 0.0, 8), Link("out", 2.5e10, 0.0, 64)


def wire_bound(kind, group, nbytes):
    """Collective time, and the least that bytes need: each device over both links at once, each domain over its eight
    links to the outside."""
    op = kind("collective", ("x",), ("y",), group=group)
    runtime = collective_runtime(op, nbytes, inner=INNER, outer=OUTER, efficiency=1.0, latency=0.0)
    domains = -(-group // 8)
    outside = {AllReduce: nbytes * 2 * (domains - 1) / domains, AllGather: nbytes * 8 * (domains - 1), SendReceive: 0}[
        kind
    ]
    both = nbytes * op.volume() / (INNER.bandwidth + OUTER.bandwidth)
    return runtime, max(both, outside / (8 * OUTER.bandwidth))


GROUPS = st.sampled_from([2, 3, 4, 8, 16, 24, 64])


@given(st.sampled_from([AllReduce, AllGather, SendReceive]), GROUPS, st.floats(1e3, 1e9))
def test_collectives_respect_the_wire(kind, group, nbytes):
    assume(kind is AllReduce or group <= 8)
    runtime, bound = wire_bound(kind, group, nbytes)
    assert runtime >= bound * LEAST


def test_an_all_gather_over_domains_respects_the_wire():
    runtime, bound = wire_bound(AllGather, 16, 1e6)
    assert runtime >= bound * LEAST  # 15 shards of 1 MB at 325 GB/s: 46 us


def test_a_hand_over_between_domains_respects_the_wire():
    op = SendReceive("send", ("x",), ("y",), group=9)  # the ninth stage is in another domain
    runtime = collective_runtime(op, 1e6, inner=INNER, outer=OUTER, efficiency=1.0, latency=0.0)
    assert runtime >= (7 * 1e6 / INNER.bandwidth + 1e6 / OUTER.bandwidth) * LEAST
