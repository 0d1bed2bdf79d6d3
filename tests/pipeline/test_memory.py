"""What running out of memory looks like: the libraries' own errors, made by asking them for far too much."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pipeline import job, memory
from pipeline.photo import PhotoError


def _numpy():
    np.ones(2**50)


def _opencv():
    import cv2

    # More than any machine has, within what OpenCV takes for a size.
    cv2.copyMakeBorder(np.zeros((2, 2, 4)), 0, 2**31 - 10, 0, 2**20, cv2.BORDER_CONSTANT)


def _torch():
    import torch

    torch.ones(2**50)


def _tensorflow():
    import tensorflow as tf

    tf.zeros([2**44])


@pytest.mark.parametrize("ask_for_too_much", [_numpy, _opencv, _torch, _tensorflow])
def test_every_librarys_way_to_say_that_memory_ran_out_is_understood(ask_for_too_much):
    with pytest.raises(Exception) as caught:  # each has its own
        ask_for_too_much()
    assert memory.ran_out(caught.value), repr(caught.value)
    try:
        raise PhotoError("it is damaged") from caught.value
    except PhotoError as error:
        assert memory.ran_out(error)


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shapes do not fit"), OSError(28, "full")])
def test_other_errors_are_not_taken_for_it(error):
    assert not memory.ran_out(error)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to that")
def test_a_bound_is_held_by_the_system_and_shortness_is_known():
    program = """
import numpy as np
from pipeline import memory
memory._AT_WORK = 2**31
memory.limit_photos(2**30)
first = np.empty(2**31 - 2**28, np.uint8)
print(memory.is_short())
second = np.empty(2**29, np.uint8)
print(memory.is_short())
np.empty(2**31, np.uint8)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        pytest.skip("this system holds no process to a bound of memory")
    assert done.stdout.split() == ["False", "True"]
    assert "MemoryError" in done.stderr.splitlines()[-1]


def test_a_library_s_own_error_is_the_same_line():
    class ResourceExhaustedError(Exception):
        """TensorFlow's, by its name."""

    error = ResourceExhaustedError("OOM when allocating tensor with shape[1,9,9]")
    assert job.one_line(error) == job.one_line(MemoryError()) == "there is not enough memory for this photo"
    assert job.is_expected(error)
    assert not job.is_expected(RuntimeError("something else"))
