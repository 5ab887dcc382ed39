"""How far to believe an explanation: checks that take any lens as an argument. Draws nothing.

`curves` asks whether the pixels that a map marks matter to the network; `randomisation` whether the map depends on
what the network has learned; `stability` whether it survives a little noise; `agreement` whether several maps tell
the same story; `pointing` whether a map looks where a person says it should; `fidelity` whether its sums predict
what happens when pixels are taken away.
"""

from __future__ import annotations

from striate.trust.agreement import agreement
from striate.trust.curves import curves
from striate.trust.explainers import Explainer, Lenses, explain, explainers
from striate.trust.fidelity import fidelity
from striate.trust.pointing import pointing
from striate.trust.randomisation import randomisation
from striate.trust.similarity import rank_similarity, structural_similarity
from striate.trust.stability import stability

__all__ = [
    "Explainer",
    "Lenses",
    "agreement",
    "curves",
    "explain",
    "explainers",
    "fidelity",
    "pointing",
    "randomisation",
    "rank_similarity",
    "stability",
    "structural_similarity",
]
