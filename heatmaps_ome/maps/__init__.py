"""Raw maps: what the model computes of each cell, and what follows from it; no colours."""
