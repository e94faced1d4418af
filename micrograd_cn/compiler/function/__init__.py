"""Compile functions. A function is recorded again for arguments that are nested in a new way, and for a new branch."""
