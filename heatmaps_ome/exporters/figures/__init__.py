"""Pictures with captions, legends and scale bars."""
