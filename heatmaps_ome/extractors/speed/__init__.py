"""Networks made faster without changing what they compute."""
