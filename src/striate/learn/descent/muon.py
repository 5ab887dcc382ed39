"""An optimiser for short trainings: steps of convolutions that go equally far in every direction. Needs torch only.

The gradient of a convolution is nearly always steep in few directions and flat in all others, and a step along it
changes little but those few. Muon makes the step an orthogonal matrix first: all directions in which the gradient says
anything get the same length. That takes a few products of small matrices, which is little beside a batch of pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonalised"]


_QUINTIC = (3.4445, -4.7750, 2.0315)
"""a, b, c of x -> a x + b x^3 + c x^5, which brings any value in (0, 1] near to 1 in few rounds (Jordan 2024)."""


def _bare(method: str) -> Any:
    """Return a method of torch's optimisers without what it is wrapped in."""
    found = getattr(torch.optim.Optimizer, method)
    return getattr(found, "__wrapped__", found)


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are made orthogonal for kernels of convolutions; Adam for all other weights.

    Args:
        params: weights, or groups of them.
        lr: length of a step: the spectral norm of what is added to a kernel, seen as a matrix (filters, rest).
        momentum: share of the running sum of gradients that is kept, in [0, 1); Nesterov's.
        weight_decay: share of each weight that is taken from it at each step, times the rate.
        others: rate of Adam's steps (dense layers, biases, norms), as a share of `lr`.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Adam: Kingma and Ba 2015,
        arXiv:1412.6980.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        others: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
    ) -> None:
        settings = {"momentum": momentum, "weight_decay": weight_decay, "others": others, "betas": betas, "eps": eps}
        super().__init__(params, {"lr": lr, **settings})

    # torch wraps these so that torch.compile leaves them alone, and the wrapper imports the whole compiler when it is
    # called first, which takes as many seconds as a short training
    add_param_group = _bare("add_param_group")
    zero_grad = _bare("zero_grad")
    state_dict = _bare("state_dict")
    load_state_dict = _bare("load_state_dict")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    if weight.dim() > 2:
                        alike.setdefault(tuple(weight.shape), []).append(weight)
                    else:
                        self._adapt(weight, weight.grad, group)
            for weights in alike.values():
                self._turn(weights, group)
        return loss

    def _turn(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Take the step of kernels of one shape together: a GPU would spend its time on beginning small products."""
        ahead = []
        for weight in weights:
            state, gradient = self.state[weight], cast(Tensor, weight.grad)
            if not state:
                state["velocity"] = torch.zeros_like(weight)
            velocity = state["velocity"].mul_(group["momentum"]).add_(gradient)
            ahead.append(gradient.add(velocity, alpha=group["momentum"]).flatten(1))
        for weight, step in zip(weights, orthogonalised(torch.stack(ahead)), strict=True):
            weight.add_(step.reshape(weight.shape), alpha=-group["lr"])

    def _adapt(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[weight], group["betas"]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - first)
        square = state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        rate = group["lr"] * group["others"] / (1 - first ** state["step"])
        size = (square / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
        weight.addcdiv_(mean, size, value=-rate)


def orthogonalised(matrix: Tensor, rounds: int = 4) -> Tensor:
    """Bring the singular values of matrices near to one another, about 1, and leave their directions as they are.

    Newton-Schulz rounds on the singular values: x -> a x + b x^3 + c x^5. They are odd polynomials, so a round is the
    product of the matrix with a polynomial of its Gram matrix; all rounds are done on that smaller one, and the matrix
    is multiplied once in the end. Values of more than a hundredth of all together end between 0.6 and 1.3.

    Args:
        matrix: shape (..., m, n), float32; each by itself.
        rounds: how often.

    Returns:
        Shape (..., m, n), scaled by sqrt(m / n) where they are taller than wide.
    """
    rows, columns = matrix.shape[-2:]
    wide = matrix.mT if rows > columns else matrix
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=torch.finfo(wide.dtype).tiny)
    gram: Tensor = wide @ wide.mT
    whole: Tensor | None = None
    a, b, c = _QUINTIC
    for number in range(rounds):
        factor = torch.add(gram * b, gram @ gram, alpha=c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        whole = factor if whole is None else factor @ whole
        if number < rounds - 1:
            gram = factor @ gram @ factor  # of the matrix after this round; all of them commute
    found: Tensor = wide if whole is None else whole @ wide
    return found.mT * math.sqrt(rows / columns) if rows > columns else found
