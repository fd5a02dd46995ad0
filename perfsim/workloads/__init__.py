"""Jobs, and the plans they become."""

from perfsim.workloads.diffusion import Diffusion
from perfsim.workloads.inference import Decode, Inference, Prefill
from perfsim.workloads.job import Job
from perfsim.workloads.jobs import JOBS, job_of
from perfsim.workloads.plan import Layout, Phase, Plan
from perfsim.workloads.rounds import decode_rounds
from perfsim.workloads.single_pass import SinglePass
from perfsim.workloads.training import Training

__all__ = [
    "JOBS",
    "Decode",
    "Diffusion",
    "Inference",
    "Job",
    "Layout",
    "Phase",
    "Plan",
    "Prefill",
    "SinglePass",
    "Training",
    "decode_rounds",
    "job_of",
]
