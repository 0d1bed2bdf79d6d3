from __future__ import annotations

import pytest

from demo.limits import Limits, size_in_bytes


@pytest.mark.parametrize(
    ("text", "size"), [("50mb", 50 * 2**20), ("1.5gb", 3 * 2**29), ("4096", 4096), ("2 KB", 2048), (" 1GB ", 2**30)]
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "mb", "-1mb", "1tb", "0", "0.0001kb", "1e9", "nan", "1 m b"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected a size"):
        size_in_bytes(text)


def test_the_usual_limits_are_none_that_is_off():
    limits = Limits()
    assert limits.strip_metadata
    assert min(vars(limits).values()) > 0
