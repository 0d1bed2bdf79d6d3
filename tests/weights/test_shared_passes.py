"""SharedPasses: what waits goes together, everyone gets what is theirs, errors reach whom they concern."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from weights.shared_passes import SharedPasses


class SlowNet:
    """Adds one; its first pass lasts until it is told to end."""

    def __init__(self):
        self.counts = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, arrays):
        self.counts.append(len(arrays["x"]))
        if len(self.counts) == 1:
            self.begun.set()
            assert self.go_on.wait(30)
        if (arrays["x"] < 0).any():
            raise ArithmeticError("below zero")
        return {"more": [arrays["x"] + 1]}


@pytest.fixture
def net():
    return SlowNet()


def asked_while_busy(net, arrays, *, most):
    """The answers to the arrays, the first of which is being worked on when the others come in turn."""
    passes = SharedPasses(net, most=most)
    with ThreadPoolExecutor(len(arrays)) as pool:
        asked = [pool.submit(passes, {"x": arrays[0]})]
        assert net.begun.wait(30)
        for number, array in enumerate(arrays[1:], 1):
            asked.append(pool.submit(passes, {"x": array}))
            while len(passes._waiting) < number:
                time.sleep(0.001)
        net.go_on.set()
        return [one.exception() or one.result()["more"][0] for one in asked]


def ones(count, size=3):
    return np.full((count, size), float(count))


def test_a_thread_that_is_alone_gets_what_the_net_gives():
    shared = SharedPasses(lambda arrays: {"sum": arrays[0] + arrays[1]}, most=1)
    np.testing.assert_array_equal(shared([ones(2), ones(2)])["sum"], 2 * ones(2))


def test_what_comes_during_a_pass_goes_together_in_the_next(net):
    arrays = [ones(1), ones(2), ones(1), ones(3)]
    for array, answer in zip(arrays, asked_while_busy(net, arrays, most=8), strict=True):
        np.testing.assert_array_equal(answer, array + 1)
    assert net.counts == [1, 6]


def test_no_pass_has_more_than_the_most_unless_one_call_has(net):
    arrays = [ones(1), ones(2), ones(2), ones(2), ones(9)]
    for array, answer in zip(arrays, asked_while_busy(net, arrays, most=4), strict=True):
        np.testing.assert_array_equal(answer, array + 1)
    assert sorted(net.counts) == [1, 2, 4, 9]


def test_arrays_of_other_shapes_or_types_have_passes_of_their_own(net):
    arrays = [ones(1), ones(1), ones(1, size=4), ones(1).astype(np.float32), ones(1)]
    for array, answer in zip(arrays, asked_while_busy(net, arrays, most=8), strict=True):
        np.testing.assert_array_equal(answer, array + 1)
        assert answer.dtype == array.dtype
    assert sorted(net.counts) == [1, 1, 1, 2]


def test_an_error_reaches_those_whose_pass_it_was_and_nobody_after_them(net):
    answers = asked_while_busy(net, [ones(1), -ones(1), ones(1), ones(1, size=4)], most=8)
    assert [type(answer) for answer in answers] == [np.ndarray, ArithmeticError, ArithmeticError, np.ndarray]


def test_most_must_be_one_or_more():
    with pytest.raises(ValueError, match="most must be 1 or more, got 0"):
        SharedPasses(lambda arrays: arrays, most=0)
