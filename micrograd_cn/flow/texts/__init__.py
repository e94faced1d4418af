"""The texts of the page, in English and in Chinese."""

from .lessons import LESSONS, MODEL

__all__ = ["LESSONS", "MODEL"]
