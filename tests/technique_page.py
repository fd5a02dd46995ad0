"""The page of all techniques, made from their fields, their docstrings, the published systems, and predictions."""

import inspect
import math
from functools import lru_cache

import perfsim as ps
from perfsim.catalog.systems import published_system, system_names
from perfsim.errors import PerfsimError
from perfsim.techniques.registry import technique_classes

BATCHES = (1, 8, 64, 256)
BARS = "▁▂▃▄▅▆▇█"
LANGUAGE = ("llama-3.1-8b", "h100-sxm5-80gb", "vllm")
EXPERTS = ("mixtral-8x7b", "h200-sxm-141gb", "vllm")
IMAGES = ("vit-base-16", "rtx-3090", "pytorch-channels-last")
CONVOLUTIONS = ("convnext-tiny", "rtx-3090", "pytorch-channels-last")


EXAMPLES = {
    "speculative-decoding": "draft=llama-3.2-1b,acceptance=0.8", "drafting-heads": "tokens=4,accepted=2",
    "early-exit": "exits=16,shares=0.5", "layer-skipping": "keep=0.75", "structured-pruning": "layers=0.75",
    "model-switching": "small=llama-3.2-1b,share=0.3", "model-routing": "small=llama-3.2-1b,share=0.15",
    "parallel-samples": "samples=8", "thinking": "tokens=512,share=0.5", "feature-reuse": "interval=4,fresh=0.25",
}
"""Parameters of an example, for techniques whose defaults change nothing because a number must be declared."""


def text_of(name):
    """The technique as it is tried."""
    return f"{name}:{EXAMPLES[name]}" if name in EXAMPLES else name


def tried():
    """(label, jobs) in the order in which a technique is tried: the first that it applies to is shown."""
    decode = [ps.Decode(context_length=4096, batch=b, dtype="bf16") for b in BATCHES]
    whole = [ps.Inference(prompt_tokens=2048, output_tokens=64, batch=b, dtype="bf16") for b in BATCHES]
    images = [ps.SinglePass(batch=b, dtype="fp16") for b in BATCHES]
    return [(LANGUAGE, decode), (LANGUAGE, whole), (EXPERTS, decode), (IMAGES, images), (CONVOLUTIONS, images)]


@lru_cache(maxsize=256)
def runtime(setup, job, using):
    model, on, stack = setup
    return float(ps.predict(model, job, on, stack=stack, using=using).runtime)


def speedups(name):
    """(what was run, speed-up by batch) with default or example parameters; None where nothing makes a difference."""
    for setup, jobs in tried():
        try:
            gains = [runtime(setup, job, ()) / runtime(setup, job, (text_of(name),)) for job in jobs]
        except PerfsimError:
            continue
        if any(abs(gain - 1) > 1e-6 for gain in gains):
            return f"{setup[0]} on {setup[1]} under {setup[2]}, {jobs[0].task}", gains
    return None


def curve(gains):
    """A small plot: a bar per batch on a log scale, half a factor of 2 per height; the fifth one begins at 1×."""
    return "".join(BARS[min(7, max(0, math.floor(4 + 2 * math.log2(gain) + 1e-9)))] for gain in gains)


def users(name):
    """Published systems that use a technique."""
    found = (published_system(system) for system in system_names())
    return [system.key for system in found if any(text.partition(":")[0] == name for text in system.using)]


def overview():
    """One row per technique: what it buys with its default parameters, by batch."""
    rows = []
    for name in technique_classes():
        result = speedups(name)
        cells = ["–"] * (len(BATCHES) + 2)
        if result is not None:
            cells = [result[0], *(f"{gain:.2f}" for gain in result[1]), curve(result[1])]
        rows.append((f"[{name}](#{name})", EXAMPLES.get(name, ""), *cells))
    return ("technique", "with", "tried on", *(f"batch {batch}" for batch in BATCHES), "curve"), rows


def section(name, kind):
    """A technique's own section."""
    text = inspect.getdoc(kind).partition("References\n")[0].strip().replace("``", "`")
    lines = [f"### {name}", "", text, "", f"Source: {kind.reference}."]
    fields = kind.describe()
    if fields:
        lines += ["", "| parameter | default | unit | range | meaning |", "| --- | --- | --- | --- | --- |"]
        cells = [(f["name"], _shown(f["default"]), f["unit"], _range(f), f["meaning"]) for f in fields]
        lines += ["| " + " | ".join(map(str, row)) + " |" for row in cells]
    used = users(name)
    if used:
        lines += ["", "Used by: " + ", ".join(f"`{key}`" for key in used) + "."]
    return "\n".join(lines) + "\n"


def _shown(value):
    return "none" if value == "" else value


def _range(item):
    if item["choices"]:
        return "one of " + ", ".join(item["choices"])
    if item["least"] is None:
        return "a text"
    return f"{item['least']:g} to {item['most']:g}" if item["most"] is not None else f"at least {item['least']:g}"


def sections():
    """All of them, in the order of their names."""
    return "\n".join(section(name, kind) for name, kind in technique_classes().items())
