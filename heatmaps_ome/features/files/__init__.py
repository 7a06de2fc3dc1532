"""Readers of the tables of tiles that other tools leave: features and scores with their places."""
