from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline import coco
from segment.base import Selection

MASK = np.array(
    [
        [0, 1, 1],
        [0, 1, 0],
    ],
    bool,
)


def test_a_document_is_read_back_and_another_programs_is_refused():
    one = coco.annotation(Selection(MASK, "dog", 0.5))
    photos = [coco.AnnotatedPhoto("a.png", (2, 3), (one, one | {"label": "cat"})), coco.AnnotatedPhoto("b", (2, 3), ())]
    document = coco.document(photos)
    assert coco.photos_of(document) == photos
    for other in ({**document, "info": {}}, [], {}, {**document, "categories": []}):
        with pytest.raises(ValueError, match="it is "):
            coco.photos_of(other)


def test_runs_go_column_by_column_and_begin_outside():
    assert coco.run_lengths(MASK) == [2, 3, 1]
    assert coco.run_lengths(~MASK) == [0, 2, 3, 1]
    assert coco.run_lengths(np.ones((2, 2), bool)) == [0, 4]
    assert coco.run_lengths(np.zeros((2, 2), bool)) == [4]


def _decoded(text: str) -> list[int]:
    """cocoapi's rleFrString, written down independently."""
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[position]) - 48
            value |= (bits & 31) << shift
            more = bool(bits & 32)
            position, shift = position + 1, shift + 5
            if not more and bits & 16:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50_000_000), max_size=12))
def test_encoded_runs_can_be_decoded(runs):
    assert _decoded(coco.encode_runs(runs)) == runs


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools")
@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_pycocotools_reads_the_same_mask(mask):
    tools = pytest.importorskip("pycocotools.mask")
    text = coco.encode_runs(coco.run_lengths(mask))
    read = tools.decode({"size": list(mask.shape), "counts": text.encode()})
    np.testing.assert_array_equal(read.astype(bool), mask)
    assert tools.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode() == text


def test_an_annotation_says_box_area_and_score():
    one = coco.annotation(Selection(MASK, "cat", 0.91237))
    assert one["bbox"] == [1, 0, 2, 2]
    assert one["area"] == 3
    assert one["score"] == 0.9124
    assert one["segmentation"]["size"] == [2, 3]


def test_a_document_numbers_everything_from_one():
    cat, dog, plain = (coco.annotation(Selection(MASK, label, 1.0)) for label in ("cat", "dog", None))
    document = coco.document(
        [coco.AnnotatedPhoto("a.jpg", (2, 3), (dog, cat)), coco.AnnotatedPhoto("trip/b.jpg", (2, 3), (plain,))]
    )
    assert document["images"][1] == {"id": 2, "file_name": "trip/b.jpg", "width": 3, "height": 2}
    assert [category["name"] for category in document["categories"]] == ["cat", "dog", "object"]
    assert [(one["id"], one["image_id"], one["category_id"]) for one in document["annotations"]] == [
        (1, 1, 2),
        (2, 1, 1),
        (3, 2, 3),
    ]
    assert all("label" not in one for one in document["annotations"])
