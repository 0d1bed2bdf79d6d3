"""The net as it is trained: its loss, its metrics, its optimizer. Runs on every Keras backend by Keras' own step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from train_pconv.config import TrainConfig
from train_pconv.losses import TERMS, Features, composite, loss_terms, psnr

_POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def dtype_policy(precision: str) -> str:
    """Keras' name of a precision."""
    return _POLICIES[precision]


class Trainee(keras.Model):
    """`trainee([truth, valid])` is the net's output; its compute_loss is the published loss of the two.

    The net itself never looks at the truth where valid is 0.
    """

    def __init__(self, net: keras.Model, config: TrainConfig, features: Features | None) -> None:
        super().__init__(name="trainee")
        self.net = net
        self._config = config
        self._features = features
        # From 0 to 1: how much of the style weight counts at this step.
        self.style_share = self.add_weight(name="style_share", shape=(), initializer="ones", trainable=False)
        self._meters = {name: keras.metrics.Mean(name=name) for name in (*TERMS, "psnr", "psnr_hole")}

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.net([ops.convert_to_tensor(part) for part in inputs], training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The weighted sum of the published terms; every term goes to its meter."""
        truth, valid = (ops.convert_to_tensor(part) for part in x)  # PyTorch's step hands over plain arrays
        config = self._config
        terms = loss_terms(
            truth,
            y_pred,
            valid,
            features=self._features,
            raw_too=config.perceptual_on == "both",
            share=config.perceptual_share if training else 1.0,
            window_px=config.perceptual_px,
        )
        filled = composite(truth, y_pred, valid)
        for name, term in terms.items():
            self._meters[name].update_state(term)
        self._meters["psnr"].update_state(psnr(truth, filled))
        self._meters["psnr_hole"].update_state(psnr(truth, filled, 1 - valid))
        weights = {name: getattr(config, f"{name}_weight") for name in TERMS}
        loss = sum((weights[name] * terms[name] for name in TERMS if name != "style"), ops.zeros((), "float32"))
        loss = loss + weights["style"] * ops.cast(self.style_share, "float32") * terms["style"]
        return _share_of_replicas(loss)


def compile_for(trainee: Trainee, config: TrainConfig, *, rate: float) -> None:
    """Gives the trainee a new Adam. Call it after layers were frozen or thawed."""
    optimizer: Any = keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm or None)
    if config.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    trainee.compile(optimizer=optimizer, jit_compile=config.jit, auto_scale_loss=False)
    optimizer.build(trainee.net.trainable_variables)


def _share_of_replicas(loss: Any) -> Any:
    """Under tf.distribute gradients are summed over the replicas: each contributes its share of the mean."""
    if keras.backend.backend() != "tensorflow":
        return loss
    import tensorflow as tf

    return loss / tf.distribute.get_strategy().num_replicas_in_sync
