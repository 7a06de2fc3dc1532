"""Reads results back with other libraries than those that wrote them, and lists what is wrong."""
