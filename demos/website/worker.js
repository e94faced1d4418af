// Python, in a worker of the page: it loads Pyodide, Graphviz and the package, and runs cells.

const PLACE = "/home/pyodide/lib"; // as in cells.py
const ROOM = 1 << 20; // bytes
const HOST_PATIENCE = 30_000; // milliseconds that Pyodide's host has for the beginning of an answer
const HOST_PAUSE = 60_000; // milliseconds in which a host that gave no answer is not asked again

let python, cells, loading, silent;

const tell = message => postMessage(message);

// Count what is fetched, and end a request to Pyodide's host that gets no answer. A response is passed on as it comes.
function watchFetches(sizes, cdn) {
  const real = self.fetch.bind(self), total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  let loaded = 0;
  self.fetch = async (target, options) => {
    const url = String(target.url ?? target), name = url.split("/").at(-1);
    const response = await (url.startsWith(cdn) ? answered(real, target, options) : real(target, options));
    if (!response.ok || !response.body || !(name in sizes)) return response;
    const counter = new TransformStream({
      transform(chunk, passed) {
        loaded += chunk.byteLength;
        tell({ what: "loading", share: Math.min(1, loaded / total) });
        passed.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(counter), response);
  };
}

async function answered(real, target, options) {
  const waiting = new AbortController();
  const timer = setTimeout(() => {
    silent = performance.now();
    waiting.abort();
  }, HOST_PATIENCE);
  try {
    return await real(target, { ...options, signal: waiting.signal });
  } finally {
    clearTimeout(timer);
  }
}

async function start({ base, sizes, wheels, cdn, notebook, interrupt }) {
  watchFetches(sizes, cdn);
  const at = name => new URL(name, base).href;
  const fetched = name => fetch(at(name)).then(response => {
    if (!response.ok) throw new Error(`${response.status} ${name}`);
    return response;
  });
  const inflated = name => fetched(name).then(({ body }) => new Response(body.pipeThrough(new DecompressionStream("gzip"))));
  const memory = inflated("python.snapshot").then(it => it.arrayBuffer()), pack = inflated("python.pack").then(it => it.json());
  const [{ loadPyodide }, { default: create }, { instance }, given] = await Promise.all([
    import(at("pyodide/pyodide.mjs")),
    import(at("pyodide/pyodide.asm.mjs")),
    import(at("viz.js")),
    notebook ? fetched(notebook).then(it => it.text()) : "[]",
  ]);
  // Python starts from the memory that snapshot.mjs has kept. It needs as much room as it had there, and an allocation is
  // the only way to get room before Python has started.
  const createPyodideModule = async settings => {
    const [module, { byteLength }] = await Promise.all([create(settings), memory]);
    while (module.HEAP8.length < byteLength) module._malloc(ROOM);
    return module;
  };
  const [made, viz, files] = await Promise.all([
    loadPyodide({ indexURL: at("pyodide/"), packageBaseUrl: cdn, stdin: () => null, _loadSnapshot: memory, createPyodideModule }),
    instance(),
    pack,
  ]);
  python = made;
  for (const [name, text] of Object.entries(files)) {
    const path = `${PLACE}/${name}`;
    python.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    python.FS.writeFile(path, text);
  }
  python.runPython("import importlib, random; importlib.invalidate_caches(); random.seed(); del importlib, random");
  if (interrupt) python.setInterruptBuffer(interrupt);
  const draw = (source, engine, format) => {
    const { status, output, errors } = viz.render(source, { engine, format });
    return JSON.stringify({ output: output ?? "", error: status === "success" ? "" : errors.map(it => it.message).join("\n") });
  };
  // Fetch a wheel at once, while Python waits: a worker may.
  const wheel = name => {
    const request = new XMLHttpRequest();
    request.open("GET", at(name), false);
    request.responseType = "arraybuffer";
    request.send();
    return request.status === 200 ? new Uint8Array(request.response) : undefined;
  };
  const { Cells } = python.pyimport("website.cells");
  const lock = JSON.stringify(await packagesByImport(at));
  cells = Cells(message => tell(JSON.parse(message)), draw, wheel, JSON.stringify(wheels), lock, given);
  tell({ what: "ready" });
}

// Pyodide's packages, by the names that code imports.
async function packagesByImport(at) {
  const { packages } = await fetch(at("pyodide/pyodide-lock.json")).then(it => it.json());
  const found = Object.entries(packages).flatMap(([key, { imports }]) => imports.map(name => [name, key]));
  return Object.fromEntries(found);
}

// Load what a cell needs from Pyodide's host, which may be out of reach.
async function load(source, cell) {
  const names = JSON.parse(cells.needs(source));
  if (!names.length) return;
  if (performance.now() - silent < HOST_PAUSE) return tell({ what: "unreachable", cell, names });
  tell({ what: "fetching", cell, names });
  try {
    await python.loadPackage(names, { messageCallback: () => {}, errorCallback: () => {} });
  } catch {
    // it says nothing that the line below does not say
  }
  if (JSON.parse(cells.needs(source)).length) tell({ what: "unreachable", cell, names });
  else cells.fetched();
  tell({ what: "fetched", cell });
}

async function run({ targets, sources }) {
  const plan = JSON.parse(cells.plan(JSON.stringify(targets), JSON.stringify(sources)));
  for (const [index, { cell, source, title, lacks }] of plan.entries()) {
    const began = performance.now();
    tell({ what: "start", cell, index, count: plan.length });
    if (lacks) {
      tell({ what: "lacking", cell });
      continue;
    }
    await load(source, cell);
    const ok = cells.run(source, cell, title);
    tell({ what: "done", cell, ok, time: performance.now() - began });
    if (!ok) {
      for (const { cell: skipped } of plan.slice(index + 1)) tell({ what: "skipped", cell: skipped, because: cell });
      break;
    }
  }
}

self.addEventListener("message", async ({ data }) => {
  try {
    if (data.what === "start") {
      loading = start(data);
      await loading;
    } else {
      await loading;
      await run(data);
      tell({ what: "idle" });
    }
  } catch (error) {
    tell({ what: "failed", text: String(error.message ?? error).slice(-2000) });
  }
});
