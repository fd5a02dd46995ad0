"""Which stacks run on which devices, and which jobs."""

from __future__ import annotations

from perfsim.catalog import stack as find_stack
from perfsim.catalog import stack_names
from perfsim.devices import Device, Stack
from perfsim.errors import InputError
from perfsim.workloads import Job

__all__ = ["check_purpose", "stack_on"]


def stack_on(stack: Stack, device: Device) -> Stack:
    """``stack`` with its values for ``device``.

    Raises
    ------
    InputError
        if the stack does not exist for such a device; the message names those that do.
    """
    if not stack.suits(device):
        here = [name for name in stack_names() if find_stack(name).suits(device)]
        raise InputError(
            f"stack {stack.key} runs on {_scope(stack)}, not on {device.key} ({_kind(device)}); use one of "
            f"{', '.join(here)}"
        )
    return stack.on(device)


def check_purpose(stack: Stack, job: Job, device: Device) -> None:
    """Nothing, where ``stack`` is for such jobs.

    Raises
    ------
    InputError
        if it is not; the message names the stacks for ``device`` that are.
    """
    if job.purpose not in stack.jobs:
        others = [find_stack(name) for name in stack_names()]
        here = [other.key for other in others if other.suits(device) and job.purpose in other.jobs]
        raise InputError(
            f"stack {stack.key} is for {' and '.join(stack.jobs)}, not for {job.purpose}; use one of {', '.join(here)}"
        )


def _scope(stack: Stack) -> str:
    """``server-cpu, mobile (engine cpu; of NVIDIA)``."""
    limits = [f"engine {' or '.join(stack.engines)}"] if stack.engines else []
    limits += [f"of {' or '.join(stack.vendors)}"] if stack.vendors else []
    return (", ".join(stack.runs_on) or "devices") + (f" ({'; '.join(limits)})" if limits else "")


def _kind(device: Device) -> str:
    engine = f"engine {device.info['engine']}" if "engine" in device.info else ""
    vendor = f"of {device.info['vendor']}" if "vendor" in device.info else ""
    return "; ".join(filter(None, (str(device.info.get("class")), engine, vendor)))
