"""Trains and measures the nets of segment/: photos with object masks in, simulated clicks, tables out."""
