"""The nets, one architecture a file; they import keras alone."""
