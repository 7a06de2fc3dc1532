"""Features of a slide's tissue: computed block by block, pooled, and stored in the cache."""
