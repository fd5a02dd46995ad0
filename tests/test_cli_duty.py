"""``perfsim duty``: the table, the JSON document, and every refusal."""

import json

import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.cli.main import cli

WORDS = ["duty", "frontnet-160x16", "--on", "gap8", "--stack", "dory", "--dtype", "int8"]


def run(*words):
    return CliRunner().invoke(cli, [*WORDS, *words])


def cycles(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["cycles"]


def test_all_points_least_power_first():
    slow, fast = cycles("--frame-rate", "10", "--battery", "0.9 Wh", "--sensor", "4.5 mW")
    assert (slow["point"], fast["point"]) == ("1.0V", "1.2V")  # steady beats racing: the base runs at a lower voltage
    assert slow["power"] < fast["power"]
    assert slow["share"] > fast["share"]
    assert slow["battery_life"] == pytest.approx(0.9 * 3600 / slow["power"])
    job = ps.SinglePass(batch=1, dtype="int8")
    p = ps.predict("frontnet-160x16", job, on="gap8", stack="dory", what_if={"device.operating_point": "1.0V"})
    assert slow["energy"] == pytest.approx(p.energy + 30e-6 * (0.1 - p.runtime))  # asleep at 30 µW
    assert slow["power"] == pytest.approx(10 * slow["energy"] + 4.5e-3)


def test_points_that_are_too_slow_come_last():
    first, last = cycles("--frame-rate", "100")
    assert (first["point"], first["keeps_up"]) == ("1.2V", True)
    assert (last["point"], last["keeps_up"]) == ("1.0V", False)
    assert last["battery_life"] is None


def test_a_clock_in_between():
    (only,) = cycles("--frame-rate", "10", "--set", "device.operating_point=1.0V")
    (half,) = cycles(
        "--frame-rate", "10", "--set", "device.operating_point=1.0V", "--set", "device.clock.cluster=50 MHz"
    )
    assert half["share"] > 1.5 * only["share"]
    assert half["power"] > only["power"]  # the same work, and the base for longer
    rest, sleep = (cycles("--frame-rate", "10", "--rest", rest)[0]["energy"] for rest in ("idle", "sleep"))
    assert rest > sleep


def test_the_table():
    result = run("--frame-rate", "10", "--battery", "0.9 Wh")
    assert result.exit_code == 0
    assert "frontnet-160x16 on gap8, 10 frame/s" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[-3:] if line.strip()] == ["1.0V", "1.2V"]
    assert all(line.rstrip().endswith(" h") for line in result.stdout.splitlines() if line.startswith(" 1."))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frame-rate", "0"], "frame_rate=0.0: expected frames per second, above 0 and below 1e9"),
        (["--frame-rate", "10", "--rest", "off"], 'rest="off": expected sleep, idle, or a power such as "2 mW"'),
        (["--frame-rate", "10", "--battery", "0 Wh"], "battery='0 Wh': expected an energy above 0, e.g. \"0.9 Wh\""),
        (["--frame-rate", "10", "--sensor=-1 mW"], "'-1 mW': expected a power of at least 0"),
    ],
)
def test_refusals(words, message):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.strip() == f"perfsim: {message}"
