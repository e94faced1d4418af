"""A version that changes when a node is given data, which tells whether numbers copied from nodes are still theirs."""

from __future__ import annotations

from threading import Lock

from ... import watching

_lock = Lock()
_version = 0


def data_version() -> int:
    """Return a number that is another one once some node has been given data.

    >>> from micrograd_cn import Value
    >>> x = Value(1)
    >>> before = data_version(); x.data = 2
    >>> data_version() > before, data_version() == data_version()
    (True, True)
    """
    global _version
    if watching.given_data:
        with _lock:
            _version += 1
            watching.given_data = False  # last, so that data given until now is of the new version, which is read after
    return _version
