"""One step of training, one of validation: Keras' own on one device, tf.distribute's on several."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from keras import ops
from numpy.typing import NDArray

from train_pconv.data import Batch
from train_pconv.trainee import Trainee


class Steps(Protocol):
    """What the loop does with a batch."""

    def train(self, batch: Batch) -> dict[str, float]:
        """Changes the weights once. Returns the loss and its terms."""

    def test(self, batch: Batch) -> dict[str, float]:
        """The loss and its terms, nothing changed."""

    def predict(self, batch: Batch) -> NDArray[np.float32]:
        """The net's output, (B, H, W, 3)."""


class LocalSteps:
    """On one device, on any backend."""

    def __init__(self, trainee: Trainee) -> None:
        self._trainee = trainee

    def train(self, batch: Batch) -> dict[str, float]:
        return _floats(self._trainee.train_on_batch([batch.truth, batch.valid], return_dict=True))

    def test(self, batch: Batch) -> dict[str, float]:
        return _floats(self._trainee.test_on_batch([batch.truth, batch.valid], return_dict=True))

    def predict(self, batch: Batch) -> NDArray[np.float32]:
        return np.asarray(ops.convert_to_numpy(self._trainee.predict_on_batch([batch.truth, batch.valid])))


class DistributedSteps:
    """On the replicas of a tf.distribute strategy, each with its part of a training batch.

    Keras' own functions cannot: 3.15 takes the mean of scalar losses along an axis when there are several machines.
    """

    def __init__(self, trainee: Trainee, strategy: Any) -> None:
        import tensorflow as tf

        self._trainee = trainee

        def on_replicas(step: Any) -> Any:
            def run(truth: Any, valid: Any) -> Any:
                logs = strategy.run(step, args=(((truth, valid),),))
                return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

            return tf.function(run, reduce_retracing=True)

        self._train, self._test = on_replicas(trainee.train_step), on_replicas(trainee.test_step)

    def train(self, batch: Batch) -> dict[str, float]:
        self._trainee.reset_metrics()
        return _floats(self._train(batch.truth, batch.valid))

    def test(self, batch: Batch) -> dict[str, float]:
        # Every replica takes the whole batch, so the mean over them is each one's answer.
        self._trainee.reset_metrics()
        return _floats(self._test(ops.convert_to_tensor(batch.truth), ops.convert_to_tensor(batch.valid)))

    def predict(self, batch: Batch) -> NDArray[np.float32]:
        inputs = [ops.convert_to_tensor(batch.truth), ops.convert_to_tensor(batch.valid)]
        return np.asarray(ops.convert_to_numpy(self._trainee.net(inputs, training=False)))


def steps_of(trainee: Trainee, strategy: Any) -> Steps:
    """The steps of a compiled trainee; make them anew when it is compiled again."""
    return LocalSteps(trainee) if strategy is None else DistributedSteps(trainee, strategy)


def _floats(logs: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}
