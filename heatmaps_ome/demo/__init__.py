"""The embedded default: a synthetic slide, and the model and extractor that know it."""
