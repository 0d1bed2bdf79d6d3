"""The options that say which photos a measurement is made on, and the command that a card prints of them."""

import argparse

import pytest

from train_segment.held_out import add_arguments, command_words, open_held_out, plain_names


def options(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_the_printed_command_reads_back_as_the_options_without_folders_of_this_machine():
    given = ["--data", "/far/away/objects", "--exclude", "bsds500/*", "--manifest", "/far/away/manifest.csv"]
    words = command_words(options(*given, "--validation-fraction", "0.15"))
    assert "/far" not in " ".join(words)
    assert "'bsds500/*'" in words  # else the shell would look for such files
    printed = options(*(word.strip("'") for word in words))
    assert (printed.data, printed.exclude, printed.manifest) == (["objects"], ["bsds500/*"], "manifest.csv")
    assert printed.validation_fraction == 0.15


def test_every_photo_is_measured_only_when_asked(label_folder):
    everything, numbers = open_held_out(options("--data", str(label_folder), "--all"))
    assert list(numbers) == list(range(len(everything.names)))
    _, held_out = open_held_out(options("--data", str(label_folder), "--validation-fraction", "0.3"))
    assert 0 < len(held_out) < len(numbers)


@pytest.mark.parametrize(
    ("given", "plain"),
    [("grabcut, clicknet,grabcut", ["grabcut", "clicknet"]), ("mask_rcnn:configs/a.py", ["mask_rcnn:a.py"])],
)
def test_segmenters_are_named_once_and_without_folders(given, plain):
    assert plain_names(given) == plain
