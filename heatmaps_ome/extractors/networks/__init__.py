"""Encoders' networks that timm lacks: (n, 3, side, side) normalised images to (n, channels)."""
