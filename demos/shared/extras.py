"""Stop a script, with the command that helps, where an optional package is not installed."""

from importlib.util import find_spec

from shared.language import text


def require(module: str, extra: str) -> None:
    """Exit with the command that installs the extra, unless the module is installed."""
    if find_spec(module) is None:
        install = f"python -m pip install -e '.[{extra}]'"
        raise SystemExit(text(f"this needs {module}: {install}", f"需要 {module}：{install}"))
