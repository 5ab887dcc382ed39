"""Rules of operations that make a vector of a map, or work on the channels of each place."""

from __future__ import annotations

from striate.perturbation.following.changes import Changes, Found, alike, called, from_end, of_one
from striate.perturbation.parts import Part
from striate.products import NAME
from striate.program import Ref, Step

__all__ = ["averaged", "multiplied"]


@of_one
def averaged(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Mean or sum over all rows and columns: that of the unchanged map and the difference."""
    clean = changes.clean(index)
    given = step.arguments
    dims = given.get("dim")  # without: over everything, pictures too
    dims = [dims] if isinstance(dims, int) else list(dims or range(clean.dim()))
    averaged_over = {from_end(dim, clean) for dim in dims}
    assert step.outs[0] is not None
    if averaged_over & set(part.dims) and averaged_over != set(part.dims):
        return None
    if averaged_over != set(part.dims):
        if not given["keepdim"] or -clean.dim() in averaged_over:
            return None
        return alike(step, changes, part)
    before = changes.constant(clean, part.region, part.dims)
    difference = (part.tensor - before).sum(part.dims, keepdim=bool(given["keepdim"]))
    if step.name == "mean":
        difference = difference / (part.region.rows.length * part.region.columns.length)
    return changes.clean(step.outs[0]) + difference


def multiplied(step: Step, changes: Changes) -> Found:
    """A matrix product of vectors of channels, one for each place."""
    left = step.args[0] if step.name == NAME else step.arguments["mat1" if step.name == "addmm" else "self"]
    if not isinstance(left, Ref) or step.inputs != (left.index,):  # weights, or what is added, change as well
        return None
    part = changes.part(left.index)
    if part is None or not part.merged:
        return None
    return Part(called(step, changes, lambda _: part.tensor), part.region, part.dims, merged=True)
