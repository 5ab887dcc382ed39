"""Windows that slide over a map: convolution, pooling, interpolation, padding, patches, depth to space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from striate import geometry
from striate.dependence.joining import pointwise
from striate.dependence.state import Axis, Call, Dependence, Rule, along, first_input, plain
from striate.geometry import Span
from striate.sizes import output_size

__all__ = ["adaptive", "convolution", "interpolated", "padded", "patches", "pooling", "shuffled", "sliding"]


def _each(values: Any, index: int, default: int | None = None) -> int:
    """Read a setting that PyTorch gives as one number or one for each dimension."""
    if isinstance(values, int):
        return values
    if not values:
        assert default is not None
        return default
    return int(values[index] if len(values) > 1 else values[0])


def _windows(
    call: Call, turn: Callable[[Span, int], Span], leading: int, channels: int | None = None
) -> Dependence | None:
    """Turn the spans of the dimensions after the first `leading` ones by a window operation."""
    main = first_input(call)
    if main is None:
        return None
    _, known = main
    output = call.outputs[0]
    axes: list[Axis] = list(known.axes[:leading])
    result = known
    if channels is not None:  # mixes what the channel dimension holds
        for label, length in known.axes[leading - 1]:
            if label is not None:
                result = result.with_span(label, geometry.collapsed(result.spans[label], length))
        axes[leading - 1] = plain(channels)
    for index in range(leading, output.dim()):
        labels = [label for label, _ in known.axes[index] if label is not None]
        if not labels:
            axes.append(plain(output.shape[index]))
        elif len(known.axes[index]) == 1:
            label = labels[0]
            result = result.with_span(label, turn(result.spans[label], index - leading))
            axes.append(along(label, output.shape[index]))
        else:
            return None  # a window over a flattened map
    return replace(result, axes=tuple(axes))


def convolution(call: Call) -> Dependence | None:
    """Convolution and transposed convolution."""
    given = call.arguments
    kernel = given["weight"].shape[2:]

    def turn(span: Span, index: int) -> Span:
        stride, dilation = _each(given["stride"], index), _each(given["dilation"], index)
        padding = _each(given["padding"], index)
        change = geometry.transposed if given["transposed"] else geometry.convolved
        return change(span, kernel[index], stride, padding, dilation)

    return _windows(call, turn, leading=2, channels=call.outputs[0].shape[1])


def pooling(call: Call) -> Dependence | None:
    """Pooling with a window of given size."""
    given = call.arguments
    dimensions = len(given["kernel_size"]) if not isinstance(given["kernel_size"], int) else 1

    def turn(span: Span, index: int) -> Span:
        kernel = _each(given["kernel_size"], index)
        stride = _each(given.get("stride"), index, kernel)
        return geometry.convolved(
            span, kernel, stride, _each(given.get("padding", 0), index), _each(given.get("dilation", 1), index)
        )

    return _windows(call, turn, leading=call.outputs[0].dim() - dimensions)


def adaptive(call: Call) -> Dependence | None:
    """Pooling to an output of given size."""
    main = call.tensors()[0]
    dimensions = len(call.arguments["output_size"])
    leading = main.dim() - dimensions

    def turn(span: Span, index: int) -> Span:
        return geometry.adaptive_pooled(span, main.shape[leading + index], call.outputs[0].shape[leading + index])

    return _windows(call, turn, leading=leading)


def interpolated(taps: int) -> Rule:
    """Return the rule of an interpolation that mixes `taps` neighbours along each axis."""

    def rule(call: Call) -> Dependence | None:
        main = call.tensors()[0]
        corners = bool(call.arguments.get("align_corners", False))

        def turn(span: Span, index: int) -> Span:
            before, after = main.shape[2 + index], call.outputs[0].shape[2 + index]
            scale = call.arguments.get(("scales_h", "scales_w")[index])
            step = None if scale is None else 1 / Fraction(scale).limit_denominator(1_000_000)
            return geometry.upsampled(span, before, after, taps=taps, corners=corners, step=step)

        return _windows(call, turn, leading=2)

    return rule


def padded(call: Call) -> Dependence | None:
    """Padding, by zeros, mirrored or repeated; negative padding crops."""
    padding = call.arguments.get("pad", call.arguments.get("padding"))
    assert padding is not None
    dimensions = call.outputs[0].dim()

    def turn(span: Span, index: int) -> Span:
        pair = 2 * (dimensions - 1 - index)  # the list starts at the last dimension
        if pair >= len(padding):
            return span
        outside = max(padding[pair], padding[pair + 1])
        if call.name.startswith("reflection"):
            span = geometry.mirrored(span, outside)
        elif call.name.startswith("replication"):  # repeats the border itself: half as far to reach
            span = geometry.mirrored(span, (outside + 1) // 2)
        return geometry.shifted(span, -padding[pair])

    if any(padding[2 * i] or padding[2 * i + 1] for i in range(len(padding) // 2)):
        return _windows(call, turn, leading=0)
    return pointwise(call)


def patches(call: Call) -> Dependence | None:
    """Gather windows as columns (im2col): (N, C, H, W) to (N, C*kernel, windows)."""
    main = first_input(call)
    if main is None or main[0].dim() != 4:
        return None
    images, known = main
    given, result, axis = call.arguments, known, []
    for label in (0, 1):
        if known.axes[2 + label] != along(label, images.shape[2 + label]):
            return None
        kernel, stride, padding, dilation = (
            _each(given[name], label) for name in ("kernel_size", "stride", "padding", "dilation")
        )
        result = result.with_span(label, geometry.convolved(result.spans[label], kernel, stride, padding, dilation))
        axis.append((label, output_size(images.shape[2 + label], kernel, stride, padding, dilation)))
    return replace(result, axes=(known.axes[0], plain(call.outputs[0].shape[1]), tuple(axis)))


def sliding(call: Call) -> Dependence | None:
    """Tensor.unfold: windows along one dimension, their elements in a new last one."""
    main = first_input(call)
    if main is None:
        return None
    _, known = main
    at = call.arguments["dimension"] % len(known.axes)
    size, step = call.arguments["size"], call.arguments["step"]
    axes, result = list(known.axes), known
    labels = [label for label, _ in known.axes[at]]
    length = call.outputs[0].shape[at]
    if labels and labels[0] is not None and len(labels) == 1:
        result = result.with_span(labels[0], geometry.convolved(result.spans[labels[0]], size, step))
        axes[at] = along(labels[0], length)
    elif any(label is not None for label in labels):
        return None
    else:
        axes[at] = plain(length)
    return replace(result, axes=(*axes, plain(size)))


def shuffled(call: Call) -> Dependence | None:
    """Depth to space and back."""
    factor = call.arguments.get("upscale_factor") or call.arguments.get("downscale_factor")
    assert factor is not None

    def turn(span: Span, index: int) -> Span:
        if call.name == "pixel_shuffle":
            return geometry.dilated_to(span, factor)
        return replace(geometry.convolved(span, factor, factor), exact=False)

    return _windows(call, turn, leading=2, channels=call.outputs[0].shape[1])
