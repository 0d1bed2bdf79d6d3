"""The net as it is trained: its losses, its meters, its optimizer. Runs on every Keras backend by Keras' own step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from train_segment.recipe import Batch, Recipe, Task

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


class Trainee(keras.Model):
    """`trainee(batch)` is the net's output of the batch's inputs; its compute_loss is the task's."""

    def __init__(self, task: Task) -> None:
        super().__init__(name="trainee")
        self.net = task.net
        self._task = task
        self._meters: dict[str, keras.metrics.Mean] = {
            name: keras.metrics.Mean(name=name) for name in task.shown.training if name != "loss"
        }

    def call(self, batch: Mapping[str, Any], training: bool = False) -> Any:
        return self.net({name: batch[name] for name in self._task.inputs}, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The task's "loss"; its other scalars go to their meters."""
        batch = {name: ops.convert_to_tensor(array) for name, array in x.items()}  # PyTorch's step hands over arrays
        terms = self._task.losses(batch, y_pred)
        for name, meter in self._meters.items():
            meter.update_state(terms[name])
        return terms["loss"]

    def step(self, batch: Batch) -> dict[str, float]:
        """Changes the weights once. Returns the loss and the scalars of this batch."""
        self.reset_metrics()
        return {name: float(value) for name, value in self.train_on_batch(batch, return_dict=True).items()}


def compile_for(trainee: Trainee, recipe: Recipe, rate_factors: Mapping[str, float]) -> None:
    """Gives the trainee the recipe's optimizer, whose rate is multiplied for the variables that rate_factors names."""
    options: dict[str, Any] = {"global_clipnorm": recipe.clip_norm or None, "weight_decay": recipe.weight_decay or None}
    kind: Any = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    if recipe.optimizer != "adam":
        options["momentum"] = recipe.momentum
    variables = trainee.net.trainable_variables
    factors = [next((f for part, f in rate_factors.items() if part in v.path), 1.0) for v in variables]
    optimizer: Any = _with_factors(kind[recipe.optimizer], factors)(recipe.rate, **options)
    if recipe.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    trainee.compile(optimizer=optimizer, jit_compile=recipe.jit)
    optimizer.build(variables)


def _with_factors(kind: Any, factors: list[float]) -> Any:
    """The optimizer class with a rate for each variable: scaled gradients would do nothing under Adam."""
    if all(factor == 1.0 for factor in factors):
        return kind

    class Rated(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            factor = factors[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * factor)

    return Rated
