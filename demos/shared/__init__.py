"""Code that several demos share: the language they speak, their options, figures and training loops.

Nobody runs these files. A script in demos/ imports them, as in `from shared.language import text`.
"""
