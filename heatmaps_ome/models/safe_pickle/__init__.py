"""Reads pickles from strangers without running code from them."""
