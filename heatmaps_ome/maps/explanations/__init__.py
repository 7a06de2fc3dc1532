"""Explanations of a bag: contributions, leave-one-out, drop-one, integrated gradients, flipping."""
