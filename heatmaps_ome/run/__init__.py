"""A run: from options to finished folders, slide by slide."""
