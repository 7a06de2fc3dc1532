"""``heatmaps-ome view``: our own page and the results' files, served to this machine's browser."""
