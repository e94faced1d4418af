"""The colours of pictures, on light and on dark paper. Colour-blind people can tell the blue from the orange."""

from __future__ import annotations

PAPER, INK, QUIET, RIM = "#fefefe", "#1a1c1f", "#555b63", "#6b727b"
POSITIVE, NEGATIVE, ZERO = "#0072b2", "#b84900", "#8a8a8a"
PARAMETER, PARAMETER_RIM, PART, DOUBT = "#e3f0fa", "#0b3d5c", "#e9ecf1", "#fff2b3"

# The colour that replaces each of these on dark paper.
DARK = {
    PAPER: "#15181c",
    INK: "#e9ecf0",
    QUIET: "#a7afb9",
    RIM: "#79828d",
    POSITIVE: "#5cb6f2",
    NEGATIVE: "#f59a4c",
    ZERO: "#858d97",
    PARAMETER: "#1c3347",
    PARAMETER_RIM: "#9fcbec",
    PART: "#2b3139",
    DOUBT: "#4d4317",
}
