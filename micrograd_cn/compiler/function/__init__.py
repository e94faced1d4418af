"""Compile functions, which are recorded again for arguments of a new structure and for a new branch."""
