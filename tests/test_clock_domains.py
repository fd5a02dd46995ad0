"""What follows a clock or a voltage that a user sets: rates with the clock, power with clock and voltage squared."""

import pytest

import perfsim as ps
from perfsim.devices.domains import DOMAINS
from perfsim.graph import Unit
from perfsim.quantities.dtypes import DTYPES

GAP8 = ps.device("gap8")
JOB = ps.SinglePass(batch=1, dtype="int8")


def test_the_cluster_at_half_its_clock():
    slow = GAP8.replace(**{"clock.cluster": "50 MHz"})
    assert slow.peak(Unit.VECTOR, DTYPES["int8"]) == 32 * 2 * 50e6
    assert slow.get("memory.l2.bandwidth") == GAP8.get("memory.l2.bandwidth") / 2  # the DMA's
    assert slow.get("power.active.cluster") == GAP8.get("power.active.cluster") / 2
    assert slow.get("power.active.base") == GAP8.get("power.active.base")
    assert slow.bandwidth == GAP8.bandwidth  # the main memory is on the clock of the fabric
    datum = slow.data["power.active.cluster"]
    assert datum.note.endswith("goes with clock.cluster")


def test_the_fabric_at_half_its_clock():
    slow = GAP8.replace(**{"clock.fabric": "50 MHz"})
    assert slow.bandwidth == GAP8.bandwidth / 2
    assert slow.get("memory.hyperram.latency") == 2 * GAP8.get("memory.hyperram.latency")
    assert slow.peak(Unit.VECTOR, DTYPES["int8"]) == GAP8.peak(Unit.VECTOR, DTYPES["int8"])


def test_power_goes_with_the_voltage_squared():
    high = GAP8.replace(**{"voltage.core": "1.1 V"})
    for name in ("power.active.base", "power.active.cluster"):
        assert high.get(name) == pytest.approx(1.1**2 * GAP8.get(name))
    assert high.get("power.sleep") == GAP8.get("power.sleep")


@pytest.mark.parametrize("order", [0, 1])
def test_what_a_user_sets_stays(order):
    changes = [("clock.cluster", "50 MHz"), ("power.active.cluster", "10 mW")]
    device = GAP8.replace(**dict(changes[:: 1 - 2 * order]))
    assert device.get("power.active.cluster") == 10e-3


def test_a_point_states_all_of_it_itself():
    point, expected = GAP8.at("1.2V"), GAP8.points["1.2V"]
    assert {name: point.get(name) for name in expected} == {name: datum.value for name, datum in expected.items()}


def test_energy_at_another_clock():
    """Work takes the same energy at any clock; what runs beside it takes longer."""
    base, slow = (
        ps.predict("frontnet-80x32", JOB, on="gap8", stack="dory", what_if={"device.clock.cluster": clock})
        for clock in ("100 MHz", "50 MHz")
    )
    assert slow.runtime == pytest.approx(2 * base.runtime)  # all of it on the clock of the cluster
    work = base.energy - base.runtime * GAP8.get("power.active.base")
    assert slow.energy == pytest.approx(work + slow.runtime * GAP8.get("power.active.base"))


def test_devices_without_these_clocks_are_left_alone():
    assert set(DOMAINS) == {"clock.cluster", "clock.fabric", "voltage.core"}
    h100 = ps.device("h100-sxm5-80gb")
    assert not set(DOMAINS) & set(h100.data)
