"""How each operation passes a change on: what of its output changes, and that worked out from windows alone.

A rule takes a step of a program, one of whose inputs has changed within windows, and gives the windows of its
output; None where it cannot, and the whole map has to be worked out.
"""

from __future__ import annotations

import torch

from striate.fusing import NAME as CONVOLUTION
from striate.perturbation.following.changes import Changes, Found, Rule
from striate.perturbation.following.elementwise import along, layer_normalised, normalised, pointwise
from striate.perturbation.following.reducing import averaged, multiplied
from striate.perturbation.following.reordering import (
    concatenated,
    enlarged,
    kept,
    padded,
    permuted,
    selected,
    sliced,
    split,
    stacked,
    unsqueezed,
    viewed,
)
from striate.perturbation.following.sliding import (
    adaptively_pooled,
    average_pooled,
    convolved,
    fused_convolved,
    max_pooled,
)
from striate.perturbation.stacking import NAME as STACK
from striate.products import NAME as PRODUCT
from striate.program import Step

__all__ = ["Changes", "follow"]


def follow(step: Step, changes: Changes) -> Found:
    """Work out what changes in the outputs of a step.

    Returns:
        A part for the first output, or for each; or a whole tensor (M, ...) where it is no map any more; or
        None where the step cannot be followed.
    """
    rule = _RULES.get(step.name)
    if rule is None and (step.name in _POINTWISE or torch.Tag.pointwise in getattr(step.op, "tags", ())):
        rule = pointwise
    return rule(step, changes) if rule is not None else None


_RULES: dict[str, Rule] = {
    "convolution": convolved,
    CONVOLUTION: fused_convolved,
    "max_pool2d_with_indices": max_pooled,
    "avg_pool2d": average_pooled,
    "_adaptive_avg_pool2d": adaptively_pooled,
    "native_batch_norm": normalised,
    "cudnn_batch_norm": normalised,
    "_native_batch_norm_legit_no_training": normalised,
    "_batch_norm_no_update": normalised,
    "native_layer_norm": layer_normalised,
    "_softmax": along,
    "_log_softmax": along,
    "mean": averaged,
    "sum": averaged,
    "cat": concatenated,
    STACK: stacked,
    "constant_pad_nd": padded,
    "upsample_nearest2d": enlarged,
    "view": viewed,
    "_unsafe_view": viewed,
    "reshape": viewed,
    "permute": permuted,
    "transpose": permuted,
    "slice": sliced,
    "select": selected,
    "unsqueeze": unsqueezed,
    "split": split,
    "split_with_sizes": split,
    "unbind": split,
    "clone": kept,
    "contiguous": kept,
    "alias": kept,
    "detach": kept,
    "_to_copy": kept,
    "lift_fresh": kept,
    "addmm": multiplied,
    "mm": multiplied,
    PRODUCT: multiplied,
}
# element by element, though PyTorch does not tag them so
_POINTWISE = frozenset("hardswish hardsigmoid hardtanh threshold _prelu_kernel log_sigmoid_forward".split())
