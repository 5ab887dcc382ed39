"""How each operation of PyTorch passes on what its inputs have seen of the picture.

A `Dependence` says, for one tensor, which of its dimensions run along the rows and columns of the
picture, and by which spans. `follow` gives that of an operation's outputs from that of its inputs;
it knows the operations below autograd (ATen), so modules, functions, in-place calls and exported
programs are all the same to it. What it does not know is marked unknown, never guessed.
"""

from __future__ import annotations

from math import prod

from torch import Tensor

from striate import geometry
from striate.dependence import joining, shapes, sums, windows
from striate.dependence.joining import written_into
from striate.dependence.state import Call, Dependence, Rule, of_picture, unknown
from striate.dependence.sums import factors

__all__ = ["Call", "Dependence", "factors", "follow", "is_followed", "of_picture", "written_into"]


def follow(call: Call) -> tuple[Dependence | None, ...]:
    """Return the dependence of each output; None where it does not depend on the picture's values."""
    if call.name in _SHAPE_ONLY or not any(call.seen(tensor) for tensor in call.tensors()):
        return (None,) * len(call.outputs)
    rule = _RULES.get(call.name)
    if rule is None and call.pointwise:
        rule = joining.pointwise
    found = rule(call) if rule is not None else None
    if found is None:
        return tuple(unknown(output) for output in call.outputs)
    if isinstance(found, Dependence):
        return tuple(_fitted(found, output) for output in call.outputs)
    return tuple(_fitted(one, output) for one, output in zip(found, call.outputs, strict=True))


def is_followed(call: Call) -> bool:
    """Tell whether `follow` has a rule for this operation."""
    return call.pointwise or call.name in _RULES or call.name in _SHAPE_ONLY


def _fitted(found: Dependence, output: Tensor) -> Dependence:
    """Check the axes against the real shape, and note the limits of what its units see.

    A rule that does not fit must not be believed.
    """
    if len(found.axes) == output.dim() and all(
        prod(size for _, size in axis) == length for axis, length in zip(found.axes, output.shape, strict=True)
    ):
        for label in (0, 1):
            if found.dimension(label) is not None:
                found = found.with_span(label, geometry.bounded(found.spans[label], found.length(label)))
        return found
    return unknown(output)


# element by element, though PyTorch does not tag them so
_UNTAGGED = "hardswish hardsigmoid hardtanh threshold prelu _prelu_kernel rrelu_with_noise log_sigmoid_forward".split()

_SHAPE_ONLY = frozenset(
    "empty_like zeros_like ones_like full_like rand_like randn_like new_empty new_zeros new_ones new_full "
    "new_empty_strided bernoulli argmax argmin".split()
)

_RULES: dict[str, Rule] = {
    "convolution": windows.convolution,
    "max_pool2d_with_indices": windows.pooling,
    "max_pool2d": windows.pooling,
    "max_pool3d_with_indices": windows.pooling,
    "avg_pool2d": windows.pooling,
    "avg_pool3d": windows.pooling,
    "_adaptive_avg_pool2d": windows.adaptive,
    "_adaptive_avg_pool3d": windows.adaptive,
    "adaptive_max_pool2d": windows.adaptive,
    "upsample_nearest2d": windows.interpolated(1),
    "_upsample_nearest_exact2d": windows.interpolated(2),
    "upsample_bilinear2d": windows.interpolated(2),
    "upsample_bicubic2d": windows.interpolated(4),
    "constant_pad_nd": windows.padded,
    "reflection_pad2d": windows.padded,
    "replication_pad2d": windows.padded,
    "im2col": windows.patches,
    "unfold": windows.sliding,
    "cat": joining.concatenated,
    "stack": joining.stacked,
    "expand": shapes.expanded,
    "repeat": shapes.repeated,
    "permute": shapes.permuted,
    "transpose": shapes.permuted,
    "t": shapes.permuted,
    "slice": shapes.sliced,
    "select": shapes.selected,
    "pixel_shuffle": windows.shuffled,
    "pixel_unshuffle": windows.shuffled,
    "mm": sums.product,
    "bmm": sums.product,
    "addmm": sums.product,
    "baddbmm": sums.product,
    "_safe_softmax": sums.mixed_along(lambda call, _: [call.arguments["dim"]]),
    "_softmax": sums.mixed_along(lambda call, _: [call.arguments["dim"]]),
    "_log_softmax": sums.mixed_along(lambda call, _: [call.arguments["dim"]]),
    "cumsum": sums.mixed_along(lambda call, _: [call.arguments["dim"]]),
    "native_layer_norm": sums.mixed_along(lambda call, _: range(-len(call.arguments["normalized_shape"]), 0)),
    "_fused_rms_norm": sums.mixed_along(lambda call, _: range(-len(call.arguments["normalized_shape"]), 0)),
    "native_group_norm": sums.mixed_along(lambda _, tensor: range(2, tensor.dim())),
    **dict.fromkeys(["native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"], sums.batch_norm),
    **dict.fromkeys(["_native_batch_norm_legit", "_batch_norm_with_update", "_batch_norm_no_update"], sums.batch_norm),
    "_native_batch_norm_legit_no_training": sums.mixed_along(lambda _call, _tensor: ()),
    **dict.fromkeys(["split", "split_with_sizes", "unbind", "unsafe_split", "unsafe_split_with_sizes"], shapes.split),
    **dict.fromkeys(["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias"], shapes.reshaped),
    **dict.fromkeys(["clone", "alias", "detach", "_to_copy", "lift_fresh", "dropout", "contiguous"], joining.pointwise),
    **dict.fromkeys(_UNTAGGED, joining.pointwise),
    "as_strided": shapes.restrided,
    **dict.fromkeys(["copy", "native_channel_shuffle", "native_dropout", "channel_shuffle"], joining.pointwise),
    **dict.fromkeys(["mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "std_mean"], sums.reduced),
    **dict.fromkeys(["linalg_vector_norm", "norm", "logsumexp", "prod", "any", "all"], sums.reduced),
    **dict.fromkeys(
        [
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_attention_math",
        ],
        sums.attention,
    ),
}
