"""One step of training: forward, loss, backward, the optimiser. Reads no pictures, keeps nothing on disk.

Nothing here waits for a GPU: losses and counts stay on the device until `Stepper.look`, which is called now and then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.learn.descent.averaging import Average
from striate.learn.pictures.feeding import Fed
from striate.learn.precision import autocast
from striate.learn.ranks import Ranks
from striate.memory import relieve

__all__ = ["Seen", "Stepper", "losses_of"]


@dataclass(frozen=True)
class Seen:
    """What the steps since the last look gave, over all ranks.

    Attributes:
        bad: number of the first step (from 0, of those since the beginning of the epoch) whose loss was NaN or
            infinite, and that loss; None where all were finite.
        asked: whether somebody asked to stop, on any rank.
    """

    bad: tuple[int, float] | None
    asked: bool


class Stepper:
    """Takes steps, and sums up what they gave.

    Attributes:
        steps: taken in this epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        logits: Callable[[Any], Tensor],
        optimizer: torch.optim.Optimizer,
        device: torch.device,
        *,
        precision: str = "float32",
        smoothing: float = 0.0,
        weights: Tensor | None = None,
        clip: float | None = None,
        average: Average | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """Put together what a step needs.

        Args:
            module: takes pictures; may be a compiled one.
            logits: finds the logits (b, K) in what the module returns.
            optimizer: over the weights that learn.
            device: of module and pictures.
            precision: "float32" or "bfloat16".
            smoothing: of the labels, in [0, 1).
            weights: of the classes, shape (K,), mean 1 over the training pictures; None for all alike.
            clip: largest norm of the gradient.
            average: told after every step.
            ranks: the processes that share each batch; this one alone when None.
        """
        self._module = module
        self._logits = logits
        self._optimizer = optimizer
        self._device = device
        self._precision = precision
        self._smoothing = smoothing
        self._weights = weights
        self._clip = clip
        self._average = average
        self._ranks = ranks or Ranks()
        self._learning = [weight for group in optimizer.param_groups for weight in group["params"]]
        self.begin()

    def begin(self) -> None:
        """Forget what an epoch gave."""
        self.steps = 0
        self._looked = 0
        self._unseen: list[Tensor] = []
        self._loss = 0.0
        self._correct: Tensor | None = None
        self._pictures = 0
        self._asked = False

    def __call__(self, fed: Fed, *, asked: bool = False) -> None:
        """Take one step.

        Args:
            fed: this rank's share of the batch.
            asked: somebody asked to stop, on this rank.
        """
        loss, correct = self._backward(fed)
        told = self._ranks.mean_gradients(self._learning, loss, asked)
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self._learning, self._clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update()
        self._unseen.append(told)
        self._correct = correct if self._correct is None else self._correct + correct
        self._pictures += len(fed.labels)
        self._asked |= asked
        self.steps += 1
        relieve()

    def _backward(self, fed: Fed) -> tuple[Tensor, Tensor]:
        """Work out the gradients; return the loss and the number of right answers."""
        if not len(fed.labels):  # of several ranks one may have only pictures that cannot be read: no gradients
            return torch.zeros((), device=self._device), torch.zeros((), dtype=torch.int64, device=self._device)
        with autocast(self._precision, self._device):
            output = self._module(fed.images)
        logits = self._logits(output).float()
        loss = losses_of(logits, fed, self._smoothing, self._weights).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach(), (logits.detach().argmax(1) == fed.labels).sum()

    def look(self) -> Seen:
        """Wait for the steps so far, and see whether their losses are numbers."""
        if not self._unseen:
            return Seen(None, self._asked)
        # (steps, 2): the loss and how many ranks were asked to stop; as plain numbers: on a processor each step is
        # looked at, and operations on tensors would take longer than what is asked
        told = torch.stack(self._unseen).tolist() if len(self._unseen) > 1 else [self._unseen[0].tolist()]
        first, self._looked = self._looked, self.steps
        self._unseen = []
        losses = [loss for loss, _ in told]
        self._loss += sum(losses)
        strange = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
        bad = None if strange is None else (first + strange, losses[strange])
        return Seen(bad, any(many for _, many in told))

    def results(self) -> tuple[float, float, int]:
        """Return mean loss, accuracy in [0, 1] and number of pictures of the epoch, over all ranks; after `look`."""
        own = 0 if self._correct is None else int(self._correct)
        correct, pictures = self._ranks.sums(own, self._pictures)
        return self._loss / max(self.steps, 1), correct / max(pictures, 1), int(pictures)


def losses_of(logits: Tensor, fed: Fed, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Return the loss of each picture of a batch.

    Cross entropy, multiplied by the weight of the picture's class. The mean of a batch is taken over its pictures, not
    over their weights, so that the mean over the shares of several processes is that over the whole batch. Where
    pictures are mixed, the losses for both labels are, in the same shares.

    Args:
        logits: shape (b, K), float32.
        fed: the batch.
        smoothing: share of the truth that is spread over all classes.
        weights: of the classes, shape (K,).

    Returns:
        Shape (b,).

    Source: label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7; mixup: Zhang et al. 2018,
        arXiv:1710.09412.
    """
    losses = _losses(logits, fed.labels, smoothing, weights)
    if fed.second is None or fed.weight is None:
        return losses
    return fed.weight * losses + (1 - fed.weight) * _losses(logits, fed.second, smoothing, weights)


def _losses(logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    return losses if weights is None else losses * weights[labels]
