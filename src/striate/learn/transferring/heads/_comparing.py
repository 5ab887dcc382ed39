"""The settings of a head compared by folds: several at a time, each in a thread with a processor of its own.

The products of a linear classifier are thin (a few classes wide): two threads inside one are hardly faster than one,
two folds side by side are.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from striate.learn.transferring.heads._rule import Problem, Rows

__all__ = ["compared"]

_Found = tuple[int, int, float, bool]


def compared(
    problem: Problem, parts: Sequence[tuple[Rows, Rows]], labels: NDArray[np.int64], *, threads: bool
) -> Generator[_Found, None, None]:
    """Learn each fold with each setting, and ask about what the fold holds back.

    Where the caller stops asking, the folds under way end with the setting that they are at.

    Args:
        problem: what is fitted.
        parts: rows to learn from and rows to ask about, of each fold.
        labels: classes of all rows.
        threads: whether folds may be learned side by side.

    Yields:
        Fold, setting (its index), the share that is right, and whether the search came to its end; in any order.
    """

    def fold(number: int) -> Iterator[_Found]:
        learned, asked = parts[number]
        for index, found in enumerate(problem.learn(learned, problem.settings)):
            yield number, index, float((found.decide(asked) == labels[asked]).mean()), found.done

    if not threads:
        for number in range(len(parts)):
            yield from fold(number)
        return
    answers: queue.SimpleQueue[_Found | BaseException] = queue.SimpleQueue()
    leaving = threading.Event()

    def work(number: int) -> None:
        try:
            for found in fold(number):
                answers.put(found)
                if leaving.is_set():
                    return
        except BaseException as error:  # raised where it is waited for
            answers.put(error)

    workers = max(1, min(torch.get_num_threads(), len(parts)))
    # one processor for each also where there is one worker: so the numbers do not depend on how many there are
    with threadpool_limits(1), ThreadPoolExecutor(workers, "striate-folds") as pool:
        try:
            for number in range(len(parts)):
                pool.submit(work, number)
            for _ in range(len(parts) * len(problem.settings)):
                answer = answers.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            leaving.set()
            pool.shutdown(cancel_futures=True)
