"""Rates over a run."""

import pytest

from training.schedule import rate_at


def test_rates_warm_up_and_fall_as_their_decay_says():
    options = {"rate": 1.0, "length": 90}
    assert [rate_at(step, decay="constant", warmup_steps=4, **options) for step in (0, 1, 3, 80)] == [0.25, 0.5, 1, 1]
    assert rate_at(0, decay="cosine", **options) == 1
    assert rate_at(45, decay="cosine", **options) == pytest.approx(0.01 + 0.99 / 2)
    assert rate_at(90, decay="cosine", **options) == pytest.approx(0.01)
    steps = [rate_at(step, decay="steps", **options) for step in (59, 60, 79, 80)]
    assert steps == pytest.approx([1, 0.1, 0.1, 0.01])


def test_an_unknown_decay_is_refused():
    with pytest.raises(ValueError, match="choose one of constant, cosine, steps"):
        rate_at(0, rate=1, decay="linear", length=2)
