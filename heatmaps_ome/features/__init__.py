"""Features of a slide's tissue: made block by block, pooled, and kept in the cache."""
