"""Two runs on the same slides, side by side: differences, correlations, agreement, a report."""
