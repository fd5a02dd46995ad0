"""What is said of replicas that do not share a batch evenly."""

from __future__ import annotations

from collections.abc import Iterator

from perfsim.workloads import Job, Layout

__all__ = ["replica_remarks"]


def replica_remarks(job: Job, layout: Layout) -> Iterator[str]:
    """Lines for the reader, where samples do not divide over the replicas."""
    samples = job.samples
    if layout.data == 1 or not isinstance(samples, int):
        return
    working = job.replicas_at_work(layout.data)
    if isinstance(working, int) and working < layout.data:
        idle = f"{layout.data - working} of {layout.data} replicas have nothing to do"
        yield f"{idle}: a batch of {samples} does not fill them"
    if samples % layout.data:
        yield f"a batch of {samples} does not divide over {layout.data} replicas: work counts each busy one as full"
