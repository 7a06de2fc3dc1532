"""Raw maps turned into display maps: scaling, colours and rasters."""
