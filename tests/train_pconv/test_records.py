"""TFRecord shards, against TensorFlow's own."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from train_pconv.panel import encode_png
from train_pconv.photos import Photos, open_photos
from train_pconv.records import index_records, photo_of_example

tf = pytest.importorskip("tensorflow")


def photo(value: int) -> np.ndarray:
    return np.full((6, 5, 3), value, np.uint8)


def write_shard(path: Path, values: list[int], key: str = "image/encoded") -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for value in values:
            feature = {
                "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[300])),
                "image/filename": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x.JPEG"])),
                "image/aspect": tf.train.Feature(float_list=tf.train.FloatList(value=[1.5])),
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encode_png(photo(value))])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def test_photos_are_read_out_of_shards(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00000-of-00002", [1, 2])
    write_shard(tmp_path / "train-00001-of-00002", [3], key="picture")  # found by its first bytes
    (tmp_path / "notes.txt").write_text("not a shard")
    photos = Photos(open_photos([str(tmp_path)]))
    assert photos.names == ["train-00000-of-00002#0", "train-00000-of-00002#1", "train-00001-of-00002#0"]
    for number, value in enumerate([1, 2, 3]):
        np.testing.assert_array_equal(photos.get(number), photo(value))


def test_a_single_shard_can_be_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "photos.tfrecord", [7])
    assert open_photos([str(tmp_path / "photos.tfrecord")]).names == ["photos.tfrecord#0"]


def test_compressed_and_cut_shards_are_one_clear_line(tmp_path: Path) -> None:
    whole = tmp_path / "a.tfrecord"
    write_shard(whole, [1, 2])
    data = whole.read_bytes()
    cut = tmp_path / "cut.tfrecord"
    cut.write_bytes(data[:-9])
    with pytest.raises(ValueError, match=r"cut\.tfrecord is cut off"):
        list(index_records(cut))
    cut.write_bytes(gzip.compress(data))
    with pytest.raises(ValueError, match="is it compressed or damaged"):
        list(index_records(cut))
    with pytest.raises(ValueError, match="no photo among its features"):
        photo_of_example(tf.train.Example().SerializeToString())
