"""Energy by operation and by byte, its derivation at load, power limits, and scaling between processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfsim as ps
from perfsim.catalog import device_names
from perfsim.costs import phase_cost, power_model, throttle
from perfsim.costs.energy import PowerModel, issue_slots, rated_energy
from perfsim.costs.technology import NODES, switching_energy, technology_factor
from perfsim.costs.throttle import power_stretch
from perfsim.errors import InputError
from tests.strategies import make_device

H100 = "h100-sxm5-80gb"
JOB = ps.Prefill(prompt_tokens=2048, batch=4)


def predict(job=JOB, stack="vllm", **what_if):
    return ps.predict("qwen3-8b", job, on=H100, stack=stack, what_if=what_if.get("what_if"))


def test_energies_of_a_board_are_shares_of_its_limit_over_its_rates():
    device = ps.device(H100)
    assert device.get("power.busy") == pytest.approx(0.12 * 700)
    assert device.get("energy.tensor.bf16") == pytest.approx((0.92 - 0.12) * 700 / 989e12)  # 0.57 pJ/FLOP
    assert device.get("energy.tensor.fp8_e4m3") == pytest.approx((0.92 - 0.12) * 700 / 1979e12)
    assert device.get("energy.memory.hbm") == pytest.approx(0.80 * 700 / 3.35e12)  # 167 pJ/byte, 21 pJ/bit
    assert {d.status for p, d in device.data.items() if p.startswith("energy.")} <= {"derived", "unverified"}
    assert all(d.note and device.sources[d.source] for p, d in device.data.items() if p.startswith("energy."))


def test_a_board_states_its_own_energies(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'base = "h100-sxm5-80gb"\n[energy.memory]\nhbm = { value = "56 pJ/byte", source = "me" }\n'
        '[sources.me]\ntitle = "my reading"\n'
    )
    device = ps.device(str(path))
    assert device.get("energy.memory.hbm") == 56e-12
    assert device.data["energy.memory.hbm"].status == "vendor"
    assert device.get("energy.tensor.bf16") == ps.device(H100).get("energy.tensor.bf16")


def test_a_board_of_its_own_limit_has_energies_of_its_own(tmp_path):
    faster, cooler = tmp_path / "faster.toml", tmp_path / "cooler.toml"
    title = '[sources.me]\ntitle = "an idea"\n'
    faster.write_text(f'base = "{H100}"\n[compute.tensor]\nbf16 = {{ value = "2 PFLOP/s", source = "me" }}\n{title}')
    cooler.write_text(f'base = "{H100}"\n[power]\nmaximum = {{ value = "350 W", source = "me" }}\n{title}')
    before = ps.device(H100).get("energy.tensor.bf16")
    assert ps.device(str(faster)).get("energy.tensor.bf16") == before
    assert ps.device(str(cooler)).get("energy.tensor.bf16") == pytest.approx(before / 2)


@pytest.mark.parametrize("path", ["compute.tensor.bf16", "memory.hbm.bandwidth", "power.maximum"])
def test_a_what_if_on_a_rate_leaves_the_energy_of_an_operation(path):
    device, changed = ps.device(H100), ps.device(H100).replace(**{path: "x2"})
    for name in ("energy.tensor.bf16", "energy.memory.hbm", "power.busy"):
        assert changed.get(name) == device.get(name)


def test_twice_the_peak_saves_only_busy_power():
    before, after = predict(stack="ideal"), predict(stack="ideal", what_if={"device.compute.tensor.bf16": "x2"})
    saved = before.energy - after.energy
    assert saved == pytest.approx(84 * (before.runtime - after.runtime), rel=1e-6)  # 0.12 × 700 W


def test_a_what_if_on_an_energy_counts():
    job = ps.Decode(context_length=1024, batch=1)
    before, after = predict(job), predict(job, what_if={"device.energy.memory.hbm": "x0.5"})
    assert before.energy - after.energy == pytest.approx(before.traffic * 0.5 * 0.80 * 700 / 3.35e12, rel=1e-3)
    assert after.runtime == before.runtime


def test_a_lower_limit_stretches_the_job_to_the_limit():
    before, after = predict(), predict(what_if={"device.power.maximum": "400 W"})
    dynamic = before.energy - 84 * before.runtime
    assert after.runtime == pytest.approx(dynamic / (400 - 84))  # Choi et al.: t = dynamic / (limit - busy)
    assert after.power == pytest.approx(400)
    assert after.throttling == pytest.approx(after.runtime - before.runtime)
    assert sum(row.runtime for row in after.operators) == pytest.approx(after.runtime)
    assert after.remarks == (
        f"throttled: the power limit of 400 W makes the job {after.runtime / before.runtime:.2f} times longer",
    )
    assert after.to_dict()["throttling"] == after.throttling
    assert "throttling" in after.table()


def test_a_limit_that_is_no_limit_changes_nothing():
    before, after = predict(), predict(what_if={"device.power.maximum": "1500 W"})
    assert (after.runtime, after.throttling) == (before.runtime, 0.0)
    assert after.energy == pytest.approx(before.energy)


def test_devices_as_rated_are_never_throttled():
    for stack in ("vllm", "ideal"):
        p = predict(stack=stack)
        assert p.throttling == 0.0
        assert p.power <= 700 * (1 + 1e-9)


def test_twice_the_peak_meets_the_limit_of_the_board():
    """A faster unit is taken to come with its power; whoever states the limit sees what it does."""
    faster = {"device.compute.tensor.bf16": "x2"}
    free, capped = predict(what_if=faster), predict(what_if={**faster, "device.power.maximum": "700 W"})
    assert free.throttling == 0
    assert free.power > 700
    assert free.remarks[-1].startswith(f"needs {free.power:.0f} W of each device, over the limit of 700 W")
    assert capped.power == pytest.approx(700)
    assert free.runtime < capped.runtime < predict().runtime


def test_the_ideal_stack_keeps_the_roofline_and_says_so():
    before, after = predict(stack="ideal"), predict(stack="ideal", what_if={"device.power.maximum": "400 W"})
    assert after.runtime == before.runtime
    assert after.remarks == (
        f"needs {before.power:.0f} W of each device, over the limit of 400 W, and is not slowed down: the ideal stack "
        f"keeps the pure roofline, and changed rates are taken to come with their power",
    )


def test_a_limit_below_busy_power_is_refused():
    with pytest.raises(InputError) as error:
        predict(what_if={"device.power.maximum": "80 W"})
    assert str(error.value) == (
        "device.power.maximum: 80 W is not above the 84 W that h100-sxm5-80gb draws before it computes anything; "
        "expected more"
    )


def test_what_ifs_do_not_touch_the_catalogue_or_each_other():
    device = ps.device(H100)
    first, second = device.replace(**{"power.maximum": "400 W"}), device.replace(**{"power.maximum": "500 W"})
    assert (device.get("power.maximum"), first.rated, second.rated) == (700, device, device)
    assert first.replace(**{"power.maximum": "300 W"}).rated is device


def test_the_device_as_rated_is_costed_for_energy_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(throttle, "phase_cost", lambda *given: asked.append(given) or phase_cost(*given))
    p = predict(what_if={"device.memory.hbm.bandwidth": "x2"})
    assert (p.runtime > 0, asked) == (True, [])
    assert (p.energy > 0, len(asked)) == (True, 1)  # one phase
    assert asked[0][1].device is ps.device(H100)


def test_handmade_devices_derive_their_energies():
    power = power_model(make_device(peak=1e14, bandwidth=1e12, maximum=400.0))
    assert isinstance(power, PowerModel)
    assert power.energies["tensor.fp16"] == pytest.approx(0.80 * 400 / 1e14)
    assert power.energies["memory.hbm"] == pytest.approx(0.80 * 400 / 1e12)


def test_formulas_by_hand():
    assert issue_slots(busy=2.0, peak=5.0) == 10.0
    assert rated_energy(dynamic=100.0, rated=100.0, budget=30.0, runtime=2.0) == pytest.approx(60.0)  # voltage falls
    assert rated_energy(dynamic=50.0, rated=50.0, budget=30.0, runtime=2.0) == 50.0
    assert power_stretch(dynamic=90.0, busy=10.0, limit=40.0, runtime=1.0) == 3.0  # 90 J at 30 W
    assert power_stretch(dynamic=20.0, busy=10.0, limit=40.0, runtime=1.0) == 1.0
    assert power_stretch(dynamic=20.0, busy=50.0, limit=40.0, runtime=1.0) == float("inf")
    assert switching_energy(energy=8.0, voltage=0.5, reference=1.0) == 2.0


POSITIVE = st.floats(1e-3, 1e3)


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_a_throttled_job_draws_its_limit_or_less(dynamic, busy, spare, runtime):
    stretch = power_stretch(dynamic=dynamic, busy=busy, limit=busy + spare, runtime=runtime)
    assert stretch >= 1
    assert busy + dynamic / (runtime * stretch) <= (busy + spare) * (1 + 1e-9)
    lower = power_stretch(dynamic=dynamic, busy=busy, limit=busy + spare / 2, runtime=runtime)
    assert lower >= stretch


@pytest.mark.parametrize("voltage", [0.8, 1.0])
def test_smaller_nodes_take_less_energy(voltage):
    factors = [technology_factor(node=node, reference=45e-9, voltage=voltage) for node in NODES]
    assert factors == sorted(factors)
    assert factors[NODES.index(45e-9)] == 1.0


@given(st.floats(3e-9, 130e-9), st.floats(3e-9, 130e-9), st.floats(0.8, 1.0))
def test_scaling_there_and_back_is_nothing(node, other, voltage):
    there = technology_factor(node=node, reference=other, voltage=voltage)
    assert there * technology_factor(node=other, reference=node, voltage=voltage) == pytest.approx(1)
    assert technology_factor(node=node, reference=node, voltage=voltage) == pytest.approx(1)


def test_published_scaling_factors():
    # Stillmaker and Baas 2017 as tabulated for 45 nm: 0.0943 and 3.0681 at 0.8 V, 0.1092 and 3.3075 at 1.0 V
    table = {(7, 0.8): 0.0943, (130, 0.8): 3.0681, (7, 1.0): 0.1092, (130, 1.0): 3.3075, (16, 0.8): 0.1735}
    for (node, voltage), factor in table.items():
        found = technology_factor(node=node * 1e-9, reference=45e-9, voltage=voltage)
        assert found == pytest.approx(factor, rel=1e-3)
    assert technology_factor(node=4e-9, reference=7e-9) == pytest.approx((4 / 7) ** 0.5)


@pytest.mark.parametrize("fields", [{"node": 180e-9}, {"node": 1e-9}, {"voltage": 1.2}])
def test_scaling_beyond_the_table_is_refused(fields):
    with pytest.raises(InputError, match="expected"):
        technology_factor(**{"node": 7e-9, "reference": 45e-9, **fields})


def test_a_chip_without_a_limit_takes_the_energy_of_a_scaled_a100():
    chip, a100 = ps.device("trainium1"), ps.device("a100-sxm4-80gb")
    assert "power.maximum" not in chip.data
    datum = chip.data["energy.tensor.bf16"]
    assert datum.value == pytest.approx(a100.get("energy.tensor.bf16"))  # both 7 nm
    assert datum.status == "derived"
    assert "Stillmaker" in datum.note
    p = ps.predict("gpt2", ps.Decode(context_length=64), on=chip)
    assert p.energy > 0


def test_memory_energy_of_boards_covers_that_of_the_devices_alone():
    """Whole path to the cores: above the 3.4 pJ per bit of HBM devices, within five times the 13.6 of a whole path."""
    for name in device_names():
        device = ps.device(name)
        value = device.get("energy.memory.hbm")
        if value is not None and device.data["energy.memory.hbm"].note.endswith("whole path to the cores"):
            assert 3.4e-12 < value / 8 < 5 * 13.64e-12, name


def test_explain_adds_up_under_a_power_limit():
    p = predict(what_if={"device.power.maximum": "400 W"})
    kernels, waiting, late = (
        sum(row.runtime for row in p.operators if (row.kind == "host", row.kind == "power") == kind)
        for kind in ((False, False), (True, False), (False, True))
    )
    last = p.explain("prefill").rstrip().rpartition("\n")[2]
    assert "+ throttling" in last
    assert kernels + waiting + late == pytest.approx(p.runtime)
