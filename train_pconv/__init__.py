"""PConv's trainer: a folder of photos in; weights, panels and tables out."""
