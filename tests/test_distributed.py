"""Sweeps on a dask cluster: equal to local ones, also when a worker is killed."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

import perfsim as ps
from perfsim.cli.main import cli
from perfsim.errors import InputError
from perfsim.sweeps import plan_sweep, write_sweep
from perfsim.sweeps.distributed import connected, evaluate_on, evaluated_by

pytest.importorskip("distributed", reason="clusters need the extra: pip install perfsim[distributed]")
pytestmark = pytest.mark.filterwarnings("ignore")

JOB = ps.Decode(dtype="bf16")


def asked():
    return plan_sweep(
        ["llama-3.1-8b", "gpt2"], JOB, "h100-sxm5-80gb", stack="vllm",
        batch=range(1, 41), context_length=range(64, 2064, 100),
        vary={"device.memory.main.bandwidth": ["2 TB/s", "4 TB/s"]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def client():
    with connected(workers=2) as found:
        yield found


def assert_same(found, expected, plan):
    for name in (*plan.metrics, "refused"):
        pair = [np.broadcast_to(values[name], plan.sizes) for values in (found, expected)]
        np.testing.assert_array_equal(*pair, err_msg=name)


def killed(pid, after):
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)


def test_a_cluster_finds_what_one_process_finds_though_a_worker_is_killed(client, tmp_path):
    expected = asked().evaluate()
    plan = asked()
    assert plan.points == 2 * 40 * 20 * 2
    victim, *others = client.run(os.getpid).values()
    assert len(others) == 1
    thread = threading.Thread(target=killed, args=(victim, 0.2))
    thread.start()
    found = evaluate_on(plan, client, rows=40)  # 80 parts
    thread.join()
    assert_same(found, expected, plan)
    deadline = time.monotonic() + 10
    while victim in (now := list(client.run(os.getpid).values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert victim not in now, "the worker was not killed"


def test_files_are_equal_too(client, tmp_path):
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    assert write_sweep(asked(), here, rows=400) == 0
    seen = []
    write_sweep(asked(), there, seen.append, rows=400, evaluated=evaluated_by(client))
    assert here.read_bytes() == there.read_bytes()
    assert sum(seen) == 3200
    assert not (tmp_path / "there.csv.parts").exists()


def test_refusals_come_back(client):
    plan = plan_sweep("gpt2", JOB, "a100-sxm4-80gb", count=[1, 5])
    found = evaluate_on(plan, client)
    assert found["refused"].ravel().tolist() == [False, True]
    assert "12 attention heads cannot be split over tensor=5" in next(iter(plan.refusals))


def test_the_command_line_on_a_running_cluster(client):
    address = client.scheduler_info()["address"]
    call = ["sweep", "gpt2", "--on", "l4", "--task", "decode", "--vary", "batch=1:64:x2", "--json"]
    results = [CliRunner().invoke(cli, [*call, *more]) for more in ([], ["--scheduler", address])]
    assert [result.exit_code for result in results] == [0, 0]
    assert results[0].stdout == results[1].stdout


def test_an_absent_scheduler_is_one_line(monkeypatch):
    monkeypatch.setattr("perfsim.sweeps.distributed.WAITING", 0.3)
    with (
        pytest.raises(InputError, match=r'scheduler "tcp://127\.0\.0\.1:9": does not answer'),
        connected("tcp://127.0.0.1:9"),
    ):
        pass
