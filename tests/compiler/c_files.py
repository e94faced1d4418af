"""Compile C files with the system's compiler, and call their functions from Python."""

import ctypes
import re
import shutil
import subprocess

HAS_C = shutil.which("cc")
C = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
CPP = ["c++", "-x", "c++", "-Wall", "-Wextra", "-pedantic", "-Werror"]
KINDS = {"double": ctypes.c_double, "float": ctypes.c_float}


def run_compiler(command, text, folder, *more):
    """Compile the text of a file, and fail for any warning."""
    path = folder / f"file{len(list(folder.iterdir()))}"
    path.with_suffix(".c").write_text(text, "utf-8")
    out = path.with_suffix(".out")
    done = subprocess.run(
        [*command, str(path.with_suffix(".c")), "-o", str(out), *more], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:2000]
    return out


def library(text, folder, *options):
    """Return a C file as a shared library that Python can call, without optimisation if no options are given."""
    return ctypes.CDLL(str(run_compiler([*C, *(options or ["-O0"]), "-shared", "-fPIC"], text, folder, "-lm")))


class File:
    """The functions of one program's C file, as methods that take and return Python's numbers.

    `made` is the library that contains them, and `text` is the C file, whose #defines say how large the arrays are.
    """

    def __init__(self, text, made, name="f", precision="double"):
        self.kind, self.name, self.made = KINDS[precision], name, made
        self.size = {n.lower(): int(x) for n, x in re.findall(rf"#define {name.upper()}_(\w+) (\d+)", text)}
        self.work, self.outputs = self.array("work"), self.array("outputs")
        self.gradient_, self.state = self.array("parameters"), self.array("state")
        self.embedded = f"{name}_weights[" in text

    def array(self, size):
        return (self.kind * self.size.get(size, 0))()

    def numbers(self, xs):
        return (self.kind * len(xs))(*xs)

    def forward(self, parameters, row):
        passed = [] if self.embedded else [self.numbers(parameters)]
        function = self.made[f"{self.name}_forward"]
        function.restype = None
        function(*passed, self.numbers(row), self.outputs, self.work)
        return list(self.outputs)

    def gradient(self, parameters, rows):
        function = self.made[f"{self.name}_gradient"]
        function.restype = self.kind
        flat = self.numbers([x for row in rows for x in row])
        n = ctypes.c_long(len(rows))
        loss = function(self.numbers(parameters), flat, n, self.gradient_, self.work)
        return loss, list(self.gradient_)

    def step(self, parameters, rows, rate):
        """Take one training step, which changes `parameters`, an array of C, and return the loss."""
        function = self.made[f"{self.name}_step"]
        function.restype = self.kind
        flat = self.numbers([x for row in rows for x in row])
        n = ctypes.c_long(len(rows))
        return function(parameters, self.state, flat, n, self.kind(rate), self.gradient_, self.work)


def files(texts, folder, *options):
    """Compile several C texts as one file, which is quicker, and return a `File` for each.

    Keys are (name of the functions, precision).
    """
    made = library("\n".join(texts.values()), folder, *options)
    return {name: File(text, made, name, precision) for (name, precision), text in texts.items()}


def compiled(program, folder, names=None, **options):
    """Return the compiled C file of a program; `names` and `options` are those of `Program.source`."""
    text = program.source("c", names, **options)
    return File(text, library(text, folder), precision=options.get("precision", "double"))
