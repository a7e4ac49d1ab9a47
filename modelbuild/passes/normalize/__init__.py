"""Bring idioms of the source into one form: what does nothing goes, what is decided is decided."""
