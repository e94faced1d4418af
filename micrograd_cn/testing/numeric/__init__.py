"""Derivatives of functions of one number: compute them with an error estimate, and compare a derivative with them."""
