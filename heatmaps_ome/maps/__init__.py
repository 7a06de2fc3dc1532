"""Raw maps: the model's values for each cell, and maps that follow from them; no colours."""
