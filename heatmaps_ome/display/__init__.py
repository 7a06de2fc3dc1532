"""Raw maps made ready to be seen: scaling, colours and rasters."""
