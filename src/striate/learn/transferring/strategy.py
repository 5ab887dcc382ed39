"""Which way to use a trained network for other pictures, by how many there are and how like its own. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from striate.results.likeness import Amount, Likeness

__all__ = ["Strategy", "choose_strategy"]


@dataclass(frozen=True)
class Strategy:
    """One square of the table.

    Attributes:
        name: what is done, in words.
        several: the classifier reads layers at several depths, not the deepest alone.
        stages: of fine-tuning, the head first; 0 for none.
        why: in a sentence with the numbers.
    """

    name: str
    several: bool
    stages: int
    why: str


_TABLE = {  # (much, alike)
    (False, True): ("features and a classifier", False, 0),
    (False, False): ("features from several depths and a classifier", True, 0),
    (True, True): ("fine-tuning of the last layers", False, 2),
    (True, False): ("fine-tuning of many layers", True, 3),
}


def choose_strategy(amount: Amount, likeness: Likeness) -> Strategy:
    """Choose by the table of the lectures.

        ============ ========================= ===========================================
                     like what it learned from different
        ============ ========================= ===========================================
        few pictures features, a classifier    features from several depths, a classifier
        many         fine-tune a few layers    fine-tune many layers
        ============ ========================= ===========================================

    Args:
        amount: how many pictures there are.
        likeness: how like what the network knows.

    Source: Karpathy, CS231n notes on transfer learning; Yosinski et al. 2014, arXiv:1411.1792, for what is general in
    features and what is special.
    """
    name, several, stages = _TABLE[amount.much, likeness.alike]
    much = "much" if amount.much else "little"
    many = f"{much} to learn from ({amount.pictures:,} pictures of {amount.classes:,} classes)"
    deepest, best = likeness.deepest, likeness.best
    if likeness.alike:
        like = (
            f"like what the network knows: its deepest features ({deepest.address}) tell the classes apart as well as "
            f"any ({100 * deepest.accuracy:.1f} % by the nearest class mean)"
        )
    elif likeness.deep:
        like = f"unlike what the network knows: its features lie {likeness.shift:.2f} standard deviations away"
    else:
        like = (
            f"unlike what the network knows: features of an earlier layer ({best.address}, "
            f"{100 * best.accuracy:.1f} % by the nearest class mean) tell the classes apart better than its deepest "
            f"({deepest.address}, {100 * deepest.accuracy:.1f} %)"
        )
    why = f"{many}, {like}: {name}."
    return Strategy(name, several, stages, why[:1].upper() + why[1:])
