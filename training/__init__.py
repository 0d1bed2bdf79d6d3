"""What every trainer here shares: a run's options, checkpoints, mean weights, reports. Knows no net and no data."""
