"""The embedded demo: a synthetic slide, with a model and an extractor trained on such slides."""
