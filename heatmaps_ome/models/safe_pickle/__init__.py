"""Read untrusted pickles without running code from them."""
