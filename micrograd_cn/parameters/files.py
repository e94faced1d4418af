"""Write the state of a model to a JSON file, and read it. The old file stays complete until the new one is."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .model import Model


def written_float(text: str) -> float:
    """Return the float that `text`, a number in a JSON file, stands for.

    If its size is too large for a float, return the int 10**400 whatever its sign is: `load_state_dict` raises an error
    for it.

    >>> written_float("1.5"), written_float("-1e400") == 10**400
    (1.5, True)
    """
    x = float(text)
    return 10**400 if math.isinf(x) else x  # json does not call this function for Infinity


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return `pairs`, the name and the value of each entry of a JSON object, as a dict.

    Raises:
        ValueError: two entries have the same name, so the dict would have only the last of them.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def checked_path(name: str, model: Model, path: object) -> str | os.PathLike[str]:
    """Return `path`, the argument of `model.save` or `model.load`. `name` is the method, "save" or "load".

    Raises:
        TypeError: `path` is not a path, or the method was called through the class, so `model` is not a module.
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"{name}() is a method of a model, which has to be made first, as in model = MLP(2, [8, 1]); then write "
            f"model.{name}({model!r})"
        )
    if not isinstance(path, (str, os.PathLike)):
        found = "" if path is None else f", got {type(path).__name__}"
        write = (
            f"; write model.{name}_state_dict(state) for a dict" if name == "load" and isinstance(path, Mapping) else ""
        )
        raise TypeError(f"{name}() takes the path of a file, as in model.{name}('model.json'){found}{write}")
    return path


def restore_owner_and_mode(file: int, path: Path, old: os.stat_result) -> None:
    """Give a new file the owner, the group and the permissions of an old file, as far as the system allows.

    `file` is the descriptor of the new file, `path` is its path, and `old` is what `os.stat` returned for the old file.
    """
    new = os.fstat(file)
    if hasattr(os, "fchown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        for user, group in ((-1, old.st_gid), (old.st_uid, -1)):
            try:
                os.fchown(file, user, group)
            except PermissionError:
                continue
    os.chmod(path, stat.S_IMODE(old.st_mode))  # last, since a change of the owner may clear bits of it


def write_state(state: Callable[[], object], path: str | os.PathLike[str]) -> None:
    """Write what `state` returns to the file `path` as JSON. The old file stays until the new one is complete.

    Raises:
        OSError: the file cannot be written, or `path` leads to something other than a regular file.
    """
    target = Path(os.path.realpath(path))
    old = target.stat() if target.exists() else None
    if old and not stat.S_ISREG(old.st_mode):
        raise OSError(f"{path} is no regular file, and saving would replace it; save to another path")
    mode = stat.S_IMODE(old.st_mode) if old else 0o666
    # The name is random, so it is another one for every call, also on other machines that share the folder.
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        with open(temporary, "x", encoding="utf-8", opener=partial(os.open, mode=mode & 0o666)) as file:
            if old:
                restore_owner_and_mode(file.fileno(), temporary, old)
            json.dump(state(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            error.filename = str(path)  # the folder is missing, and nobody has heard of the temporary file
        raise


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state that `write_state` has written to the file `path`.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file does not contain a JSON object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        state = json.loads(text, parse_float=written_float, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets are nested too deeply
        raise ValueError(f"{path} is not a saved model, or was truncated: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} is not a saved model: its JSON is no object")
    return state
