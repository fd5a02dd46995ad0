"""Declared quality against cost: how often an answer is right, what that costs, and where more samples stop paying.

perfsim predicts no quality. These are the laws that papers use to carry declared success rates over to several samples;
the cost of an attempt is what a prediction gives: seconds, joules, USD, or the FLOP of :func:`kinetics_flops`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from perfsim.errors import InputError
from perfsim.prediction.prediction import Prediction
from perfsim.quantities.numbers import Number, power

__all__ = [
    "Choice",
    "Problems",
    "best_draws",
    "best_within_budget",
    "cost_of_pass",
    "coverage",
    "expected_draws",
    "frontier_cost",
    "kinetics_flops",
    "majority_success",
    "resampling_value",
    "saturating_success",
    "saturation_point",
    "verified_accuracy",
]  # fmt: skip


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{name}={value}: expected a probability from 0 to 1")


def coverage(*, success: float, samples: Number) -> Number:
    """Probability that at least one of ``samples`` independent answers is right [1]: 1 − (1 − p)^N.

    References
    ----------
    .. [1] B. Brown et al., "Large Language Monkeys", arXiv 2407.21787.
    """
    return 1 - power(1.0 - success, samples)


def majority_success(*, success: float, samples: int) -> float:
    """Probability that more than half of ``samples`` independent answers are right [1], a tie decided by a coin.

    All wrong answers are taken to be the same one, which makes it a lower bound of a vote's success.

    Raises
    ------
    InputError
        if ``success`` is no probability, or there is no sample.
    """
    _share("success", success)
    if samples < 1:
        raise InputError(f"samples={samples}: expected at least 1")
    total = 0.0
    for right in range(samples + 1):
        weight = 1.0 if 2 * right > samples else 0.5 if 2 * right == samples else 0.0
        total += weight * math.comb(samples, right) * success**right * (1 - success) ** (samples - right)
    return total


def cost_of_pass(*, cost: Number, success: float) -> Number:
    """Expected cost of one right answer, in the unit of ``cost`` of an attempt: cost / success; infinite without
    success.

    References
    ----------
    .. [1] M. H. Erol et al., "Cost-of-Pass: An Economic Framework for Evaluating Language Models", arXiv 2504.13359.
    """
    _share("success", success)
    return cost / success if success else math.inf


def frontier_cost(*, attempts: Iterable[tuple[Number, float]], expert: float = math.inf) -> Number:
    """Least cost of a right answer over models, given (cost, success) of each, and a human ``expert``, who is right."""
    return min([expert, *(cost_of_pass(cost=cost, success=success) for cost, success in attempts)])


def expected_draws(*, success: float, false_positive: float) -> float:
    """Mean draws until a check passes [1]: 1 / (p + (1 − p)·f), the mean of a geometric distribution.

    References
    ----------
    .. [1] B. Stroebl et al., "Inference Scaling fLaws: The Limits of LLM Resampling with Imperfect Verifiers",
       arXiv 2411.17501.
    """
    passing = success + (1 - success) * false_positive
    return 1 / passing if passing else math.inf


def verified_accuracy(*, success: float, false_positive: float) -> float:
    """Share of right answers among those that pass the check [1]: p / (p + (1 − p)·f); more draws do not raise it."""
    passing = success + (1 - success) * false_positive
    return success / passing if passing else 0.0


@dataclass(frozen=True)
class Problems:
    """A class of questions: its share of all, success of a draw, and probability that the check passes a wrong
    answer.
    """

    share: float
    success: float
    false_positive: float


def resampling_value(mix: Sequence[Problems], *, draws: int, reward: float, penalty: float, cost: float) -> float:
    """Expected worth of a question on which up to ``draws`` answers are drawn, until one passes the check.

    A right answer is worth ``reward``, a wrong one that passes costs ``penalty``, a draw costs ``cost``, in one unit.
    With q = p + (1 − p)·f a class is answered with probability 1 − (1 − q)^K, rightly in p/q of these, after
    (1 − (1 − q)^K)/q draws on average.

    References
    ----------
    .. [1] B. Stroebl et al., arXiv 2411.17501.
    """
    total = 0.0
    for each in mix:
        passing = each.success + (1 - each.success) * each.false_positive
        tried = (1 - (1 - passing) ** draws) / passing if passing else float(draws)
        right, wrong = each.success, (1 - each.success) * each.false_positive
        total += each.share * tried * (right * reward - wrong * penalty - cost)
    return total


def best_draws(mix: Sequence[Problems], *, reward: float, penalty: float, cost: float = 0.0, most: int = 1000) -> int:
    """Number of draws to allow per question that is worth most [1]; 0 if not even one draw pays.

    It is finite where hard questions, on which wrong answers pass more often than right ones, remain after easy ones.
    """
    return max(
        range(most + 1),
        key=lambda draws: (resampling_value(mix, draws=draws, reward=reward, penalty=penalty, cost=cost), -draws),
    )


def saturating_success(*, single: float, ceiling: float, samples: Number) -> Number:
    """Success under N units of test-time compute [1]: ceiling · (1 − (1 − single)^N).

    References
    ----------
    .. [1] J. Wang et al., "Scaling over Scaling: Exploring Test-Time Scaling Pareto in Large Reasoning Models",
       arXiv 2505.20522.
    """
    return ceiling * coverage(success=single, samples=samples)


def saturation_point(*, single: float, ceiling: float, threshold: float) -> float:
    """Units of compute from which the next one gains less than ``threshold`` [1]: ln(t / (c·p)) / ln(1 − p), at least
    0.

    Raises
    ------
    InputError
        if ``single`` is not strictly between 0 and 1.
    """
    if not 0 < single < 1:
        raise InputError(f"single={single}: expected a probability between 0 and 1")
    return max(0.0, math.log(threshold / (ceiling * single)) / math.log(1 - single))


def kinetics_flops(prediction: Prediction, intensity: float | None = None) -> float:
    """Compute and memory access on one scale [FLOP]: work + traffic × ``intensity`` of the machine [FLOP/byte].

    intensity: peak over bandwidth of the prediction's device and format unless stated.

    References
    ----------
    .. [1] R. Sadhukhan et al., "Kinetics: Rethinking Test-Time Scaling Laws", arXiv 2506.05333.
    """
    balance = prediction.peak / prediction.system.device.bandwidth if intensity is None else intensity
    return float(prediction.flops + prediction.traffic * balance)


@dataclass(frozen=True)
class Choice:
    """A way to spend a budget: its name, its cost, and its declared quality."""

    name: str
    cost: float
    quality: float


def best_within_budget(choices: Sequence[Choice], budget: float) -> Choice:
    """The choice of highest quality that ``budget`` pays for, the cheaper one of equals.

    Raises
    ------
    InputError
        if the budget pays for none; the message names the cheapest.
    """
    affordable = [choice for choice in choices if choice.cost <= budget]
    if not affordable:
        cheapest = min(choices, key=lambda choice: choice.cost, default=None)
        what = "there are no choices" if cheapest is None else f"the cheapest, {cheapest.name}, costs {cheapest.cost:g}"
        raise InputError(f"budget={budget:g} pays for nothing: {what}")
    return max(affordable, key=lambda choice: (choice.quality, -choice.cost))
