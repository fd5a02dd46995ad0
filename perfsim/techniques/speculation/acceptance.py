"""How many tokens a round of drafting and checking yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Round", "constant_expectation", "expected_round", "token_distribution"]


def constant_expectation(*, acceptance: float, length: int) -> float:
    """Tokens per round [1] if every drafted token is accepted with the same probability.

    (1 − a^(g+1)) / (1 − a); g + 1 for a = 1. The token that the check itself makes is included.

    References
    ----------
    .. [1] Y. Leviathan et al., "Fast Inference from Transformers via Speculative Decoding", arXiv 2211.17192, eq. 1.
    """
    return length + 1.0 if acceptance == 1 else (1 - acceptance ** (length + 1)) / (1 - acceptance)


@dataclass(frozen=True)
class Round:
    """Expectations of one round [1]: ``tokens`` gained, the check's own included, and tokens ``drafted``."""

    tokens: float
    drafted: float


def expected_round(*, acceptance: Sequence[float], detection: float = 0.0, false_stop: float = 0.0) -> Round:
    """Expectations of a round whose i-th drafted token is accepted with probability ``acceptance[i]`` if all before
    are.

    After each drafted token a stopping rule looks at it: behind a token that will be rejected it stops with probability
    ``detection``, behind a good one with ``false_stop``. Without a rule (both 0) the draft always has full length.

    References
    ----------
    .. [1] K. Huang et al., "SpecDec++", arXiv 2405.19715: the stopping rule as a decision process.
    """
    good, bad, tokens, drafted = 1.0, 0.0, 1.0, 0.0
    for probability in acceptance:
        drafted += good + bad
        good, bad = good * probability, bad + good * (1 - probability)
        tokens += good
        good, bad = good * (1 - false_stop), bad * (1 - detection)
    return Round(tokens, drafted)


def token_distribution(*, acceptance: Sequence[float], false_stop: float = 0.0) -> tuple[float, ...]:
    """Probability of gaining 1, 2 … ``len(acceptance) + 1`` tokens in a round [1].

    Arguments as before; when drafting behind a bad token stops does not change what is gained.
    """
    good, result = 1.0, []
    ended = 0.0  # rounds that stopped behind a good token
    for probability in acceptance:
        result.append(ended + good * (1 - probability))
        good *= probability
        ended, good = good * false_stop, good * (1 - false_stop)
    return (*result, ended + good)
