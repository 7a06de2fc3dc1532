"""The readers of slides: one module for each library, and what belongs to it."""
