"""Files on disk: digests, the cache, and folders that are complete or absent."""
