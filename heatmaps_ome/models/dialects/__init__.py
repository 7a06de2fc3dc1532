"""The dialects of checkpoints: which keys and shapes are whose, and the model that they hold."""
