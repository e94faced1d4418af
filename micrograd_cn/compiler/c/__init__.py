"""Print a program as one C file.

`file` puts the file together, and `comment` writes the comment at its top. For each function, `loops` finds loops that
compute several instructions, and `arrays` writes these loops, in which values are elements of C arrays. `text` writes
expressions and tables, and functions that the others call.
"""
