"""One Node.js for all tests of this folder: to start it takes longer than what `check_op` lets it compute."""

import json
import shutil
import subprocess

import pytest

from micrograd_cn.testing.operations import javascript

ANSWERING = """
const vm = require("vm");
require("readline").createInterface({ input: process.stdin }).on("line", line => {
  let answer;
  try {
    answer = String(vm.runInNewContext(JSON.parse(line), {}, { timeout: 20000 }));
  } catch (error) {
    answer = null;
  }
  process.stdout.write(JSON.stringify(answer) + "\\n");
});
"""


@pytest.fixture(scope="session", autouse=True)
def one_node():
    """Let a process that goes on evaluate each expression in a new global object; what fails there runs by itself."""
    program, alone = shutil.which("node"), javascript._node
    process = None

    def evaluate(asked, text):
        nonlocal process
        if asked != program:  # a test put a program of this name there
            return alone(asked, text)
        if process is None:
            process = subprocess.Popen([program, "-e", ANSWERING], stdin=-1, stdout=-1, text=True, encoding="utf-8")
        process.stdin.write(json.dumps(text) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return alone(program, text) if answer is None else answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(javascript, "_node", evaluate)
        yield
    if process is not None:
        process.communicate()
