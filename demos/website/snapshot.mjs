// Start Python when the site is written, import what the first cells need, and keep Python's memory in a file. In a
// reader's browser Python starts from this memory, which takes a fraction of the time.
//
// Node calls it with the folder of npm's packages, a file with JSON, and the file to write. The JSON has the texts of
// Python's `files` by their paths, the names of modules in `imports`, and for each of the `notebooks` its cells' sources.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const PLACE = "/home/pyodide/lib"; // as in cells.py

const [modules, given, out] = process.argv.slice(2), { files, imports, notebooks } = JSON.parse(readFileSync(given, "utf8"));
const { loadPyodide } = await import(pathToFileURL(`${modules}/pyodide/pyodide.mjs`));
const python = await loadPyodide({ indexURL: `${modules}/pyodide/`, _makeSnapshot: true });
for (const [name, text] of Object.entries(files)) {
  const path = `${PLACE}/${name}`;
  python.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
  python.FS.writeFile(path, text);
}
python.FS.writeFile("/tmp/notebooks", JSON.stringify(notebooks));
// The memory must not refer to anything of JavaScript, so Python gets everything from files.
python.runPython(`
import gc, importlib, sys
sys.path.insert(0, "${PLACE}")
for module in "${imports.join(" ")}".split():
    importlib.import_module(module)
from website.cells import learn
with open("/tmp/notebooks") as file:
    learn(file.read())
del file, module, learn, importlib, sys
gc.collect()
del gc
`);
writeFileSync(out, gzipSync(python.makeMemorySnapshot()));
