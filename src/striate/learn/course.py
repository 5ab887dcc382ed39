"""The course of a training, epoch after epoch: train, validate, keep. Chooses no pictures and no settings.

Three promises are kept here. What an epoch does depends on its number, the weights and the optimiser's state alone, so
that a training which goes on after an interruption gives the numbers that it would have given without. An epoch counts
from the moment in which its state is replaced on the disk, in one step. And whatever ends a training, the module is
left with the best weights that are known to be good.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from striate import progress
from striate.errors import OutputError, Stopped, StriateError, TrainingError
from striate.files import csv_text, one_line, shown, write_bytes, write_text
from striate.learn import seeds, state
from striate.learn.board import Board
from striate.learn.descent.averaging import Average
from striate.learn.descent.optimizers import rate_of, set_rate
from striate.learn.descent.schedules import Schedule
from striate.learn.folder import Folder
from striate.learn.freezing import asleep
from striate.learn.interrupting import TASK, asked, own_chance, to_the_end
from striate.learn.narrow_norm import narrow_norms
from striate.learn.pictures.feeding import Feed
from striate.learn.pictures.split import Split
from striate.learn.ranks import Ranks
from striate.learn.run import COLUMNS, Epoch
from striate.learn.settings import Settings
from striate.learn.sparing import sparing_convolutions, suited
from striate.learn.step import Stepper
from striate.learn.telling import first_reason, note, strange
from striate.learn.validating import validate
from striate.network import Network
from striate.progress import Event
from striate.results.words import count

__all__ = ["Course"]

_BLIND = 50  # steps on a GPU between two looks at the losses, each of which waits for it


class Course:
    """A training between its first and its last epoch.

    Attributes:
        history: of the epochs so far.
    """

    def __init__(
        self,
        network: Network,
        parts: Split,
        settings: Settings,
        *,
        folder: Folder,
        lasting: bool,
        feed: Feed,
        validation: Feed | None,
        step: Stepper,
        callable_: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        average: Average | None,
        precision: str,
        ranks: Ranks,
        board: Board | None = None,
        began: float | None = None,
    ) -> None:
        """Put together what `run` needs.

        Args:
            network: whose module is trained.
            parts: the pictures, for their names.
            settings: of the training.
            folder: where the run lies.
            lasting: keep every epoch there; otherwise only the end.
            feed: of training pictures.
            validation: of validation pictures, where there are any.
            step: takes the steps.
            callable_: what is called: the module, or a compiled one around it.
            optimizer: over the weights that learn.
            schedule: of its rate.
            average: of the weights.
            precision: "float32" or "bfloat16".
            ranks: the processes that share the work.
            board: for TensorBoard.
            began: when the training began, on the clock of `time.monotonic`: the limit of time counts from there. Now
                when None.
        """
        self._network, self._parts, self._settings = network, parts, settings
        self._folder, self._lasting = folder, lasting
        self._feed, self._validation = feed, validation
        self._step, self._callable = step, callable_
        self._optimizer, self._schedule, self._average = optimizer, schedule, average
        self._precision, self._ranks, self._board = precision, ranks, board
        self._began = time.monotonic() if began is None else began
        self._device = network.device
        self._module = network.module
        # of one epoch: forward, and twice back. A training that goes on does it the same way, however much is left
        self._spares = bool(suited(network.module)) and network.spares(network.spec.size, 3 * feed.count)
        self._asleep = asleep(self._module, settings.frozen)
        # an attention mask holds minus infinity from the beginning
        self._endless = {name for name, value in _numbers(self._module).items() if not value.isfinite().all()}
        self.history: list[Epoch] = []
        self._steps = 0
        self._seconds = 0.0
        self._best: int | None = None
        self._best_weights = state.copied(self._module)
        self._next_best = state.copied(self._module)  # until their epoch counts
        self._notes: list[str] = []

    # --- from and to the disk

    def go_on(self, saved: state.Saved) -> None:
        """Take up a training where it was left."""
        record = saved.record
        # into the module first: of weights that are tied the file has one name only
        state.fill(self._module, load_file(self._folder.best(record["best"])))
        self._best_weights = state.copied(self._module)
        state.restore(saved, self._module, self._optimizer, self._average)
        self._schedule.restore(record["schedule"])
        self.history = [Epoch(**row) for row in record["history"]]
        self._steps, self._seconds = record["step"], record["seconds"]
        self._best, self._notes = record["best"], list(record["notes"])
        self._ranks.from_first(lambda: self._folder.settle(self._best))
        self._write_tables()

    @property
    def notes(self) -> list[str]:
        """Sentences on what was decided."""
        where, _, why = self._feed.storage.partition(": ")
        found = [f"Storage of the training pictures: {where} ({why})."]
        if self._precision == "bfloat16":
            found.append("It computes in bfloat16 where that is safe (precision='float32' does not).")
        if self._monitor == "train_loss" and self._validation is None:
            found.append(
                "There are no validation pictures: the best epoch is that with the lowest training loss, which says "
                "nothing about pictures that the network has not seen."
            )
        return found

    def begin(self) -> None:
        """Keep the first weights."""
        if not self._ranks.first:
            return
        if not self._settings.keep:  # of a training that was begun here before and came to nothing
            self._folder.checkpoint(0).unlink(missing_ok=True)
        else:
            self._write(lambda: write_bytes(self._folder.checkpoint(0), self._bytes(0)), 1)

    # --- epoch after epoch

    def run(self) -> None:
        """Train until the end.

        Raises:
            Stopped: the user asked to stop.
            TrainingError: a loss is no number, or the network cannot be trained on these pictures.
            OutputError: nothing can be written any more.
        """
        total, done = self._settings.epochs, len(self.history)
        progress.report(Event(TASK, done, total))
        started, longest, ended = time.monotonic(), 0.0, None
        try:
            while ended is None:
                number = len(self.history) + 1
                before = time.monotonic()
                row = self._epoch(number)
                now = time.monotonic()
                longest = max(longest, now - before)
                ended = self._ranks.from_first(partial(self._end, row, now - self._began + longest))
                self._keep(row, ended)
                left = (time.monotonic() - started) / (number - done) * (total - number)
                progress.report(Event(TASK, number, number if ended else total, note(row, None if ended else left)))
        except (KeyboardInterrupt, Stopped) as error:
            number = min(len(self.history) + 1, total)
            raise Stopped(f"Stopped in epoch {number} of {total}, as asked. {self._kept()}") from error
        finally:
            state.fill(self._module, self._best_weights)

    def _epoch(self, number: int) -> Epoch:
        """Train and validate once."""
        started = time.monotonic()
        self._train(number)
        loss, accuracy, pictures = self._step.results()
        trained = time.monotonic()
        rate = rate_of(self._optimizer)
        self._ranks.alike(self._module)
        validated: tuple[float | None, float | None] = (None, None)
        due = number % self._settings.validate_every == 0 or number == self._settings.epochs
        with self._averaged():
            if self._average is not None:  # which has a mean of each rank's own running statistics
                self._ranks.alike(self._module)
            self._check_weights(number)
            if self._validation is not None and due:
                validated = self._validate(self._validation, number)
            better = self._is_better(loss, validated)
            if better:
                for name, value in self._module.state_dict().items():
                    if name in self._next_best:
                        self._next_best[name].copy_(value)
        told = loss if self._validation is None else validated[0]
        if told is not None:  # an epoch that is not validated says nothing: its training loss is another measure
            self._schedule.tell(told)
        now = time.monotonic()
        seconds = self._seconds + now - started
        speed = pictures / max(trained - started, 1e-9)
        return Epoch(number, self._steps, seconds, rate, loss, accuracy, *validated, speed, better)

    def _train(self, number: int) -> None:
        """Show every training picture once."""
        self._module.train()
        for part in self._asleep:
            part.eval()
        step, feed = self._step, self._feed
        step.begin()
        every = 1 if self._device.type == "cpu" else _BLIND
        task = f"epoch {number}"
        chance = own_chance(self._device, seeds.number(self._settings.seed, "dropout", number, self._ranks.rank))
        compiled = self._callable is not self._module  # which makes kernels of its own
        with chance, contextlib.nullcontext() if compiled else self._sooner():
            for fed in feed.epoch(number):
                if self._ranks.count == 1:
                    progress.check_stop(TASK)
                set_rate(self._optimizer, self._schedule.factor(self._steps))
                try:
                    step(fed, asked=self._ranks.count > 1 and asked())
                except (RuntimeError, ValueError) as error:
                    if isinstance(error, StriateError):
                        raise
                    raise self._unable(error, number, tuple(fed.images.shape)) from error
                self._steps += 1
                if step.steps % every == 0:
                    self._look(number)
                progress.report(Event(task, step.steps, max(feed.batches, step.steps)))
            self._look(number)
        if step.steps != feed.batches:
            progress.report(Event(task, step.steps, step.steps))
        if not step.steps:
            raise TrainingError(
                f"epoch {number} had no step: none of the {count(feed.count, 'training picture')} can be read. "
                f"{first_reason(feed)}"
            )

    @contextlib.contextmanager
    def _sooner(self) -> Iterator[None]:
        """Let parts of the network do their work in faster ways."""
        sparing = sparing_convolutions(self._module) if self._spares else contextlib.nullcontext()
        with narrow_norms(self._module), sparing:
            yield

    def _look(self, number: int) -> None:
        """Make sure that the losses so far are numbers, and that nobody wants to stop."""
        seen = self._step.look()
        if seen.bad is not None:
            step, loss = seen.bad
            raise TrainingError(
                f"the loss became {strange(loss)} in epoch {number}, step {step + 1} of {self._feed.batches} (rate "
                f"{rate_of(self._optimizer):.3g}). {self._advice()} {self._kept()}"
            )
        if seen.asked:
            raise Stopped("Stopped during training, as asked.")

    def _check_weights(self, number: int) -> None:
        """Make sure that all weights are numbers before they are kept: the last step may have spoiled them."""
        held = {name: value for name, value in _numbers(self._module).items() if name not in self._endless}
        if held and not bool(torch.isfinite(torch.stack(torch._foreach_norm(list(held.values()))).sum())):
            spoiled = next((name for name, value in held.items() if not value.isfinite().all()), "")
            if spoiled:
                raise TrainingError(
                    f"weights became NaN or infinite at the end of epoch {number} (first: {spoiled}). {self._advice()} "
                    f"{self._kept()}"
                )

    def _advice(self) -> str:
        clip = "" if self._settings.clip is not None else ", clip the gradient (clip=1.0)"
        return f"Try a lower rate{clip}, or look at the pictures and their standardisation."

    def _validate(self, feed: Feed, number: int) -> tuple[float, float]:
        """Return mean cross entropy and accuracy over the validation pictures."""
        loss, accuracy = validate(
            self._callable, self._network, feed, number, precision=self._precision, ranks=self._ranks
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"the validation loss of epoch {number} is {strange(loss)}. {self._advice()} {self._kept()}"
            )
        return loss, accuracy

    def _is_better(self, train_loss: float, validated: tuple[float | None, float | None]) -> bool:
        if self._monitor == "last":
            return True
        value = _merit(self._monitor, train_loss, *validated)
        before = next((row for row in self.history if row.epoch == self._best), None)
        if value is None:  # not validated: the best as long as there is none
            return before is None
        known = None if before is None else _merit(
            self._monitor, before.train_loss, before.validation_loss, before.validation_accuracy
        )  # fmt: skip
        return known is None or value > known

    @property
    def _monitor(self) -> str:
        monitor = self._settings.monitor
        if monitor == "auto":
            return "train_loss" if self._validation is None else "accuracy"
        return monitor

    def _end(self, row: Epoch, expected: float) -> str | None:
        """Say why a training ends after an epoch; None where it goes on."""
        settings = self._settings
        if row.epoch >= settings.epochs:
            return "epochs"
        best = row.epoch if row.best else self._best or 0
        judged = self._validation is None or row.validation_loss is not None
        if settings.patience is not None and judged and row.epoch - best >= settings.patience:
            return "patience"
        return "time" if settings.time_limit is not None and expected > settings.time_limit else None

    # --- keeping

    def _keep(self, row: Epoch, ended: str | None) -> None:
        """Let an epoch count."""
        self._seconds = row.seconds
        best = row.epoch if row.best else self._best
        broken = self._broken()
        if self._ranks.first:
            kept = self._network_files(row)
            record = {
                "epoch": row.epoch,
                "step": self._steps,
                "seconds": row.seconds,
                "history": [asdict(one) for one in (*self.history, row)],
                "best": best,
                "ended": ended,
                "schedule": self._schedule.state(),
                "notes": self._notes,
            }

            def write() -> None:
                for path, data in kept:
                    write_bytes(path, data)
                write_bytes(self._folder.state, state.pack(self._module, self._optimizer, self._average, record))
                self._count_in(row)
                self._folder.settle(best)
                self._write_tables(broken)
                if self._board is not None:
                    self._board.add(row)

            if self._lasting or ended is not None:
                self._write(write, row.epoch)
                return
            self._write(lambda: [write_bytes(path, data) for path, data in kept], row.epoch)
        self._count_in(row)

    def _count_in(self, row: Epoch) -> None:
        """Let an epoch be one of those that are over."""
        self.history.append(row)
        if row.best:
            self._best = row.epoch
            self._best_weights, self._next_best = self._next_best, self._best_weights

    def _network_files(self, row: Epoch) -> list[tuple[Path, bytes]]:
        """Return the networks that an epoch leaves: a new best, one of the course."""
        settings = self._settings
        planned = {round(place * settings.epochs / (settings.keep - 1)) for place in range(1, settings.keep)}
        files: list[tuple[Path, bytes]] = []
        with self._averaged():
            if row.epoch in planned:
                files.append((self._folder.checkpoint(row.epoch), self._bytes(row.epoch)))
            if row.best and self._lasting:
                files.append((self._folder.waiting(row.epoch), self._bytes(row.epoch)))
        return files

    def _bytes(self, epoch: int) -> bytes:
        return self._network.to_bytes(nameless=True, more={"epoch": str(epoch)})

    def _write(self, act: Callable[[], object], number: int) -> None:
        """Write, to the end even when somebody asks to stop meanwhile; say what is kept when it cannot be done."""
        try:
            with to_the_end(), progress.finishing():
                act()
        except OSError as error:  # OutputError is one
            with contextlib.suppress(OSError):
                self._folder.waiting(number).unlink()
            what = str(error) if isinstance(error, OutputError) else f"Cannot write into the run: {one_line(error)}."
            raise OutputError(f"{what} {self._kept()}") from error

    def _write_tables(self, broken: list[tuple[str, str, str]] | None = None) -> None:
        """Write what people read."""
        if not self._ranks.first:
            return
        write_text(self._folder.history, csv_text([COLUMNS, *(row.row() for row in self.history)]))
        if broken:
            rows = csv_text([("part", "picture", "reason"), *broken])
            write_bytes(self._folder.skipped, rows.encode("utf-8", "surrogateescape"))  # names as the disk has them

    def _broken(self) -> list[tuple[str, str, str]]:
        """Return the pictures that could not be read so far: part, name and reason."""
        found: set[tuple[str, str, str]] = set()
        for part, pictures, feed in (
            ("train", self._parts.train, self._feed),
            ("validation", self._parts.validation, self._validation),
        ):
            if feed is not None and pictures is not None:
                found |= {(part, pictures.name(index), reason) for index, reason in feed.broken.items()}
        return sorted({one for some in self._ranks.gathered(sorted(found)) for one in some})

    def _kept(self) -> str:
        """Say what is kept."""
        if not self._lasting:
            return "No folder was given (out=), so that nothing is kept but the network's weights in memory."
        done = len(self.history)
        where = shown(self._folder.path)
        if not done:
            return (
                f"No epoch was over yet: in {where} there is nothing to go on from. Training into it again begins "
                "anew, with whatever settings are given."
            )
        return (
            f"The first {count(done, 'epoch')} {'is' if done == 1 else 'are'} kept in {where} (best: epoch "
            f"{self._best}); resume=True (--resume) goes on from there."
        )

    # --- small matters

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Let the module hold the weights that count."""
        if self._average is None:
            yield
        else:
            with self._average.swapped():
                yield

    def _unable(self, error: Exception, number: int, shape: tuple[int, ...]) -> TrainingError:
        size = " x ".join(map(str, shape))
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            return TrainingError(
                f"there is not enough memory for a batch of {size} in epoch {number}. Take fewer pictures at a time "
                f"(batch), or smaller ones. {self._kept()}"
            )
        return TrainingError(
            f"{self._network.name} cannot be trained on a batch of {size} (epoch {number}): {one_line(error)}. "
            f"{self._kept()}"
        )


def _numbers(module: nn.Module) -> dict[str, Tensor]:
    """Return weights and buffers of decimal numbers."""
    held = module.state_dict()
    return {name: value for name, value in held.items() if isinstance(value, Tensor) and value.is_floating_point()}


def _merit(
    monitor: str, train_loss: float, validation_loss: float | None, validation_accuracy: float | None
) -> tuple[float, ...] | None:
    """Return what is larger for a better epoch; None where it was not validated."""
    if monitor == "train_loss":
        return (-train_loss,)
    if validation_loss is None or validation_accuracy is None:
        return None
    return (-validation_loss,) if monitor == "loss" else (validation_accuracy, -validation_loss)
