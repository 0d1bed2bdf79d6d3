"""Speed and memory, as ratios measured in one run. One command each; the figures are in README.md here."""
