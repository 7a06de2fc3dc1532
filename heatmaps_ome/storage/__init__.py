"""What lies on disk: digests, the cache, and folders that appear whole or not at all."""
