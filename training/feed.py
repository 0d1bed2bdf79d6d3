"""Batches made ahead of the steps that need them by threads, and the time that the steps spent waiting for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import cv2

Sample = TypeVar("Sample")
Batch = TypeVar("Batch")


class ThreadFeed(Generic[Sample, Batch]):
    """Batches made by threads: decoding, OpenCV and most of NumPy's work let go of the interpreter.

    The same indices give the same batches in the same order, however many threads there are.
    """

    def __init__(
        self,
        sample: Callable[[int], Sample],
        collate: Callable[[Sequence[Sample]], Batch],
        *,
        batch: int,
        first_step: int,
        steps: int,
        workers: int,
        prefetch: int,
    ) -> None:
        """sample: the training sample of an index. collate: a batch of samples. first_step: 0 and up, to go on from."""
        self._sample, self._collate, self._batch = sample, collate, batch
        self._steps = range(first_step, first_step + steps)
        self._workers, self._prefetch = workers, prefetch
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)  # the workers are the parallelism; OpenCV's own threads would fight them
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="samples")
        ahead: deque[list[Future[Any]]] = deque()
        asked = self._steps.start
        try:
            for _ in self._steps:
                while asked < self._steps.stop and len(ahead) <= self._prefetch:
                    indices = range(asked * self._batch, (asked + 1) * self._batch)
                    ahead.append([pool.submit(self._sample, index) for index in indices])
                    asked += 1
                started = time.perf_counter()
                batch = self._collate([future.result() for future in ahead.popleft()])
                self.waited_s += time.perf_counter() - started
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
