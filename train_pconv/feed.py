"""Batches made ahead of the steps that need them, and the time that the steps spent waiting for them.

Both feeds give the same batches in the same order: threads on any backend, tf.data under TensorFlow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import cv2

from train_pconv.data import Batch, Samples
from train_pconv.photos import BrokenPhotoError
from training.feed import ThreadFeed


class TfDataFeed:
    """Batches made by tf.data; under tf.distribute every replica gets its part of the batch.

    Photos travel to the device as bytes and become floats there.
    strategy: a tf.distribute strategy, or None.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        batch: int,
        first_step: int,
        steps: int,
        workers: int,
        prefetch: int,
        strategy: Any = None,
    ) -> None:
        self._samples, self._batch, self._workers, self._prefetch = samples, batch, workers, prefetch
        self._first, self._count, self._strategy = first_step, steps, strategy
        self.waited_s = 0.0
        self._failure: BrokenPhotoError | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Truth and validity are tensors here, one for each replica under tf.distribute."""
        cv2.setNumThreads(1)
        if self._strategy is None:
            batches = iter(self._dataset(self._batch, shard=(0, 1)))
        else:
            batches = iter(self._strategy.distribute_datasets_from_function(self._dataset_of_worker))
        for _ in range(self._count):
            started = time.perf_counter()
            try:
                truth, valid = next(batches)
            except Exception as error:
                raise self._failure or error from error  # TensorFlow wraps what the samples raised in its own
            self.waited_s += time.perf_counter() - started
            yield Batch(truth, valid)

    def _dataset_of_worker(self, context: Any) -> Any:
        replica_batch = context.get_per_replica_batch_size(self._batch)
        return self._dataset(replica_batch, shard=(context.input_pipeline_id, context.num_input_pipelines))

    def _dataset(self, batch: int, *, shard: tuple[int, int]) -> Any:
        import tensorflow as tf

        rank, machines = shard
        part = self._batch // machines

        def indices(step: Any) -> Any:
            return step * self._batch + rank * part + tf.range(part, dtype=tf.int64)

        def load(index: Any) -> tuple[Any, Any]:
            crop, hole = tf.numpy_function(self._sample, [index], (tf.uint8, tf.bool))
            side = self._samples.crop_px
            crop, hole = tf.ensure_shape(crop, (side, side, 3)), tf.ensure_shape(hole, (side, side))
            return crop, hole

        def ranges(crops: Any, holes: Any) -> tuple[Any, Any]:
            return tf.cast(crops, tf.float32) / 127.5 - 1, 1 - tf.cast(holes, tf.float32)[..., None]

        data = tf.data.Dataset.range(self._first, self._first + self._count).map(indices).unbatch()
        data = data.map(load, num_parallel_calls=self._workers, deterministic=True)
        return data.batch(batch, drop_remainder=True).map(ranges).prefetch(self._prefetch)

    def _sample(self, index: int) -> Any:
        try:
            return self._samples.sample(int(index))
        except BrokenPhotoError as error:
            self._failure = error
            raise


Feed = ThreadFeed | TfDataFeed
