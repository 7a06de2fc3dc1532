"""Results as a folder that opens from disk in any browser, for people without Python."""
