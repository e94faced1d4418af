"""Code that several scripts in demos/ import: texts in the reader's language, options, figures and training helpers.

Nobody runs these files. A script imports them by name, as in `from shared.language import text`:

    language.py   the reader's language, and columns of text in it
    options.py    the command line: --steps, --seed, --out, --lang and --compiled
    figures.py    colours and fonts of figures, and saving them
    training.py   mini-batches, running means of losses, and eager training beside compiled training
    extras.py     the message for an optional package that is not installed
"""
