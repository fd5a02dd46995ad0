"""Operating points: named sets of values that go before every other what-if and never touch the catalogue."""

import pytest

import perfsim as ps
from perfsim.catalog import device_names
from perfsim.devices import System
from perfsim.errors import CatalogError, InputError, UnknownNameError
from perfsim.graph import Unit
from perfsim.prediction.predict import apply_what_ifs
from perfsim.quantities.dtypes import DTYPES

WITH_POINTS = {
    "ethos-u55-128": ["400MHz", "160MHz"], "gap8": ["1.0V", "1.2V"], "gap9": ["0.65V", "0.80V"],
    "jetson-agx-orin": ["15W", "60W"], "jetson-nano": ["5W", "10W"], "jetson-orin-nano": ["7W", "15W", "25W"],
    "jetson-orin-nx": ["10W", "25W"], "jetson-xavier-nx": ["10W", "15W", "20W"], "kria-kv260-dpu": ["300MHz", "350MHz"],
    "azure-d64s-v6": ["64-thread"], "ryzen-5700g": ["16-thread"], "raspberry-pi-4": ["4-core-1.5GHz"],
}  # fmt: skip
JOB = ps.Decode(context_length=64, dtype="fp16")


def test_devices_with_points():
    points = {name: list(ps.device(name).points) for name in device_names()}
    fixed = {name: [p for p in found if not p.endswith("-core")] for name, found in points.items()}  # not cores
    assert {name: found for name, found in fixed.items() if found} == WITH_POINTS


def test_gap8_at_its_points():
    device = ps.device("gap8")
    low, high = device.at("1.0V"), device.at("1.2V")
    assert low.bandwidth == 0.75 * 100e6  # byte per cycle × clock
    assert high.bandwidth == 0.75 * 250e6
    assert low.peak(Unit.VECTOR, DTYPES["int8"]) == 32 * 2 * 100e6
    assert high.peak(Unit.VECTOR, DTYPES["int8"]) == 32 * 2 * 175e6
    assert high.capacity == low.capacity == device.capacity  # what the point does not state stays
    assert high.data["memory.hyperram.bandwidth"].status == "derived"  # a catalogue value, no what-if
    assert high.info["operating_point"] == "1.2V"
    assert "operating_point" not in device.info


@pytest.mark.parametrize("name", WITH_POINTS)
def test_points_change_only_known_quantities_and_never_the_catalogue(name):
    device = ps.device(name)
    before = dict(device.data)
    for point in device.points:
        moved = device.at(point)
        assert set(moved.data) == set(before) | set(device.points[point])
        assert all(datum.source in device.sources for datum in device.points[point].values())
    assert dict(device.data) == before == dict(ps.device(name).data)


def test_a_what_if_and_a_point_in_either_order():
    device = ps.device("gap8")
    for order in (["operating_point", "memory.main.bandwidth"], ["memory.main.bandwidth", "operating_point"]):
        values = {"operating_point": "1.2V", "memory.main.bandwidth": "x2"}
        assert device.replace(**{path: values[path] for path in order}).bandwidth == 2 * 187.5e6  # the point first
        changes = {f"device.{path}": values[path] for path in order}
        system, _ = apply_what_ifs(System(device), ps.stack("ideal"), changes)
        assert system.device.bandwidth == 2 * 187.5e6
    assert device.bandwidth == 75e6


def test_two_what_ifs_in_one_process_do_not_see_each_other():
    def predict(what_if=None):
        return ps.predict("gpt2", JOB, on="jetson-orin-nano", what_if=what_if).runtime

    base = predict()
    fast = predict({"device.operating_point": "25W"})
    slow = predict({"device.memory.main.bandwidth": "34 GB/s"})
    both = predict({"device.memory.main.bandwidth": "34 GB/s", "device.operating_point": "25W"})
    assert fast == pytest.approx(base * 68 / 102, rel=1e-3)  # a decode step is bound by memory
    assert slow == pytest.approx(base * 68 / 34, rel=1e-3)
    assert both == pytest.approx(slow, rel=1e-3)
    assert predict() == base
    assert predict({"device.operating_point": "15W"}) == base


@pytest.mark.parametrize(
    ("name", "point", "kind", "message"),
    [
        ("gap8", "1.5V", UnknownNameError, 'unknown operating point of device gap8 "1.5V"; did you mean 1.2V or 1.0V?'),
        (
            "jetson-orin-nano",
            "MAXN",
            UnknownNameError,
            'unknown operating point of device jetson-orin-nano "MAXN"; known: 15W, 25W, 7W',
        ),
        ("t4", "70W", InputError, "device t4 has no operating points; leave out device.operating_point=70W"),
    ],
)
def test_unknown_points(name, point, kind, message):
    with pytest.raises(kind) as refusal:
        ps.predict("gpt2", JOB, on=name, what_if={"device.operating_point": point})
    assert str(refusal.value) == message


def test_from_one_point_to_another():
    device = ps.device("gap8").at("1.0V")
    assert device.at("1.0V").data == device.data
    with pytest.raises(InputError) as refusal:
        device.at("1.2V")
    assert str(refusal.value) == (
        "device gap8 is at operating point 1.0V already and cannot go to 1.2V; start from the device of the catalogue"
    )


def test_a_variant_keeps_the_points_of_its_base(tmp_path):
    file = tmp_path / "wish.toml"
    file.write_text(
        """
        name = "GAP8 with a third point"
        base = "gap8"
        [operating_point."1.2V"]
        "power.maximum" = { value = "80 mW", source = "me" }
        [operating_point."1.4V".clock]
        cluster = { value = "250 MHz", source = "me" }
        [sources.me]
        title = "A wish"
        """,
        encoding="utf-8",
    )
    device = ps.device(str(file))
    assert list(device.points) == ["1.0V", "1.2V", "1.4V"]
    assert device.at("1.2V").get("power.maximum") == 0.08
    assert device.at("1.2V").bandwidth == 187.5e6
    assert device.at("1.4V").get("clock.cluster") == 250e6
    assert ps.device("gap8").at("1.2V").get("power.maximum") == 0.272


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            '[operating_point."1.2V"]\n"clock.cluster" = { value = "1 GB", source = "me" }',
            'operating_point.1.2V.clock.cluster: "1 GB" is [byte], expected [1/s]',
        ),
        (
            '[operating_point."1.2V"]\n"clock.cluster" = { value = "1 GHz" }',
            'operating_point.1.2V.clock.cluster: has no source, expected source = "<key below [sources]>"',
        ),
        (
            '[operating_point."1.2V"]\n"compute.vector.int8" = { value = "0 FLOP/s", source = "me" }',
            "operating_point.1.2V.compute.vector.int8: is 0, expected a value above 0",
        ),
        (
            '[operating_point."1.2V"]\nremark = "fast"',
            "operating_point.1.2V.remark: is no quantity of a device; a point holds the quantities that differ there",
        ),
        ('operating_point = "1.2V"', "operating_point: is '1.2V', expected a table"),
        ('[operating_point]\nfast = "1.2V"', "operating_point.fast: is '1.2V', expected a table"),
    ],
)
def test_mistakes_in_a_point(tmp_path, table, message):
    file = tmp_path / "wrong.toml"
    file.write_text(f'base = "gap8"\n{table}\n[sources.me]\ntitle = "A wish"\n', encoding="utf-8")
    with pytest.raises(CatalogError) as refusal:
        ps.device(str(file))
    assert str(refusal.value) == f"{file}: {message}"
