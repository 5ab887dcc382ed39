"""Every lens with every option that takes another way through the network, as calls by name. No test stands here."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from striate import Network, lenses

__all__ = ["CALLS", "HEATMAPS"]

HEATMAPS: dict[str, Callable[[Network, Tensor, object], object]] = {
    "gradient": lambda net, x, target: lenses.saliency(net, x, target),
    "gradient signed": lambda net, x, target: lenses.saliency(net, x, target, signed=True),
    "guided": lambda net, x, target: lenses.saliency(net, x, target, rule="guided"),
    "deconvnet": lambda net, x, target: lenses.saliency(net, x, target, rule="deconvnet"),
    "input x gradient": lambda net, x, target: lenses.input_x_gradient(net, x, target),
    "integrated gradients": lambda net, x, target: lenses.integrated_gradients(net, x, target, steps=5),
    "smoothgrad": lambda net, x, target: lenses.smoothgrad(net, x, target, samples=4),
    "smoothgrad square": lambda net, x, target: lenses.smoothgrad(net, x, target, samples=4, variant="square"),
    "smoothgrad variance": lambda net, x, target: lenses.smoothgrad(net, x, target, samples=4, variant="variance"),
    "grad-cam": lambda net, x, target: lenses.grad_cam(net, x, target),
    "grad-cam signed": lambda net, x, target: lenses.grad_cam(net, x, target, relu=False),
    "grad-cam++": lambda net, x, target: lenses.grad_cam(net, x, target, variant="grad-cam++"),
    "layer-cam": lambda net, x, target: lenses.grad_cam(net, x, target, variant="layer-cam"),
    "hires-cam": lambda net, x, target: lenses.grad_cam(net, x, target, variant="hires-cam"),
    "guided grad-cam": lambda net, x, target: lenses.grad_cam(net, x, target, guided=True),
    "grad-cam stretched": lambda net, x, target: lenses.grad_cam(net, x, target, placement="stretch"),
    "lime": lambda net, x, target: lenses.lime(net, x, target, superpixels="grid", segments=4, samples=9),
    "kernel shap": lambda net, x, target: lenses.kernel_shap(
        net, x, target, superpixels="grid", segments=4, samples=9, baseline="blur"
    ),
    "occlusion": lambda net, x, target: lenses.occlusion(net, x, target, patch=9, stride=9),
    "feature ablation": lambda net, x, target: lenses.feature_ablation(net, x, target, superpixels="grid", segments=4),
    "ablation-cam": lambda net, x, target: lenses.ablation_cam(net, x, target),
    "rise": lambda net, x, target: lenses.rise(net, x, target, samples=9, score="logit", baseline="noise"),
}

CALLS: dict[str, Callable[[Network, Tensor], object]] = {
    "predictions": lambda net, x: lenses.predictions(net, x),
    "filters": lambda net, x: lenses.filters(net),
    "activations": lambda net, x: lenses.activations(net, x),
    "receptive field": lambda net, x: lenses.receptive_field(net, x, net.graph().last_map().address),
    "arithmetic": lambda net, x: lenses.arithmetic(
        net, x, [row.address for row in net.graph().rows if row.kind == "Conv2d"][-1]
    ),
    "equivariance": lambda net, x: lenses.equivariance(net, x, shift=2, scales=(0.8,), angles=(30.0,)),
    "connectivity": lambda net, x: lenses.connectivity(net),
    "dead relus": lambda net, x: lenses.dead_relus(net, x),
    "signals": lambda net, x: lenses.signals(net, x, statistics="batch"),
    "optimizer paths": lambda net, x: lenses.optimizer_paths(
        net, x, optimizers=["sgd"], steps=1, rates=0.01, start="weights", grid=5
    ),
    "graph": lambda net, x: net.graph(),
    "logits": lambda net, x: net(x),
    **{name: (lambda net, x, call=call: call(net, x, None)) for name, call in HEATMAPS.items()},
}
