"""The parts of the site that `demos/site.py` puts together.

    page          the frame of each page: its head, its Content-Security-Policy, its links
    notebook      writes a notebook that was run as pages
    dependencies  says which earlier cells a cell needs, and what it needs that a browser does not have
    apart         the playground in several files
    figures       figures beside the sentences of some sections, which need no Python
    packages      fetches Pyodide, Graphviz and the editor from npm, and Python wheels, each pinned by its hash
    search        the list of what the search looks through
    cells         runs the cells of a page, in the browser's Python
    formulas      TeX to MathML, for stored outputs and for those of a cell that a reader runs

A page loads `cells.js`, which adds buttons to each cell. The first click on Run starts `worker.js` in a worker: it
loads Pyodide and runs `cells.py`. Python goes on there from the memory that `snapshot.mjs` has kept, in which the
package is imported. `editor.js` is loaded when a reader first edits a cell. Without npm none of this is
written, and the pages only show what the notebooks store.
"""
