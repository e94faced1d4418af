"""The texts of the page in English and Chinese, in one file for each of its rooms (tabs) and for what they share.

page.py has the texts of the stepper, which every page shows. The playground adds playground.py (its title and tabs),
expression.py, network.py and model.py (its three rooms) and lessons.py. errors.py has messages of Python exceptions.

Each file has a dictionary that gives the texts of a language by key. The HTML names a key in an attribute, such as
`data-word="play"`, and a script writes `words.play`. A page contains both languages, and its scripts fill in `{...}`.
Texts that pictures or the command line use as well are in micrograd_cn/text/words.py.
"""

from .errors import ERRORS
from .expression import EXPRESSION
from .lessons import LESSONS
from .model import MODEL
from .network import NETWORK
from .page import PAGE
from .playground import PLAYGROUND

__all__ = ["ERRORS", "EXPRESSION", "LESSONS", "MODEL", "NETWORK", "PAGE", "PLAYGROUND"]
