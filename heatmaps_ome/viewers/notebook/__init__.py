"""Results in Python: predictions, maps with their places in µm, and pictures in notebooks."""
