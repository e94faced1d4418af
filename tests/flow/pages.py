"""A page in a browser, with functions for tests: to step through it, to read it, and to compare its numbers."""

from micrograd_cn import Value
from micrograd_cn.flow.texts import PAGE

# A page keeps its state in the tab's name here: on a busy machine, the browser's storage may come late to the next.
STORAGE = """{
  const kept = JSON.parse(window.name || "{}");
  const setItem = (key, value) => window.name = JSON.stringify(Object.assign(kept, { [key]: String(value) }));
  Object.defineProperty(window, "localStorage", { value: { setItem, getItem: key => kept[key] ?? null } });
}"""

# The page gives what is inside it to this function, and to nobody else. A test then uses it by its name.
DOOR = "globalThis.openedForTests = inside => Object.assign(globalThis, inside);"

# What a canvas draws while `draw` is called: its texts, its lines as lists of points, and the middles of its dots.
DRAWN = """(canvas, draw) => {
    const told = { texts: [], lines: [], dots: [] }, own = canvas.getContext("2d");
    own.fillText = text => told.texts.push(text);
    own.beginPath = () => told.lines.push([]);
    own.moveTo = own.lineTo = (x, y) => told.lines.at(-1).push([x, y]);
    own.arc = (x, y) => told.dots.push([x, y]);
    draw();
    for (const name of ["fillText", "beginPath", "moveTo", "lineTo", "arc"]) delete own[name];
    return told;
}"""

# The reader has been here before, so the playground does not greet them.
SEEN = "try { localStorage.setItem(`micrograd_cn.greeted ${location.pathname}`, 'yes'); } catch {}"


def new_page(browser):
    """Return a page of a browser whose door is open."""
    page = browser.new_page()
    page.add_init_script(DOOR)
    return page


# The window and the wishes of most readers. A tab can change these; for other options there is a tab of its own.
USUAL = {
    "viewport": {"width": 1280, "height": 900},
    "reduced_motion": "no-preference",
    "color_scheme": "light",
    "forced_colors": "none",
}


class Opened:
    """A page in the browser, which records errors and requests. Its reader is new, or has been here before."""

    def __init__(self, browser, new=False, **options):
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(60_000)  # a busy machine may take ten seconds to load a page
        self.context.add_init_script(STORAGE)
        self.context.add_init_script(DOOR)
        if not new:
            self.context.add_init_script(SEEN)
        self.page = self.context.new_page()
        self.errors, self.requests = [], set()
        self.clock_stopped = False
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.add(request.url.partition("#")[0]))

    def show(self, path, replays=True, link="", **look):
        """Open a file by a link, in a window and for a reader as `look` says, which may have the keys of `USUAL`."""
        viewport, *wishes = (look.get(name, usual) for name, usual in USUAL.items())
        if self.page.viewport_size != viewport:
            self.page.set_viewport_size(viewport)
        self.page.emulate_media(media="screen", **dict(zip([*USUAL][1:], wishes, strict=True)))
        self.page.mouse.move(0, 0)
        self.errors.clear()
        self.requests.clear()
        self.url = path.as_uri()
        self.page.goto(f"{self.url}#{link}" if link else self.url)
        if replays:
            self.press("Home")  # tests begin at the first step; a page begins after the forward pass

    def load(self, link):
        """Load the page by a link, as if it came from somewhere else: an address, or what follows its "#"."""
        self.page.goto("about:blank")
        self.page.goto(link if link.startswith("file:") else f"{self.url}#{link}")

    def leave(self):
        """Show nothing, and keep nothing of the page.

        A page that plays would cost time. All files share the browser's storage, which ends at 5 MB.
        """
        self.page.evaluate("sessionStorage.clear(), Storage.prototype.setItem = () => {}, window.name = ''")
        self.page.goto("about:blank")

    def stop_clock(self):
        """Stop the page's clock until the tab is closed: time passes only where a test calls `clock.run_for`.

        An installed clock goes on by itself until it is paused, and on a busy machine a test sees that.
        """
        self.clock_stopped = True
        self.page.clock.install(time=0)
        self.page.clock.pause_at(60)

    def wait_for(self, condition):
        """Wait until a JavaScript expression is true. Playwright's function needs `eval`, which the page forbids."""
        for _ in range(3_000):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"not within a minute: {condition}")

    def come_back(self):
        """Load the page again by its address, without the link that it has written."""
        assert self.link  # waits for its timer
        self.page.evaluate("history.replaceState(null, '', location.pathname)")
        self.page.reload()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def open_menu(self):
        if not self.page.locator("#menu_items").is_visible():
            self.page.locator("#menu").click()

    def click(self, word, lang="en"):
        if word in ("copy_link", "copy_python", "present", "other_language", "dark", "help"):
            self.open_menu()
        self.page.get_by_role("button", name=PAGE[lang][word], exact=True).click()

    @property
    def narration(self):
        return self.page.locator("#narration").inner_text()

    @property
    def link(self):
        """The address once it shows what was chosen. The page writes it after a timer, which began before this one."""
        return self.page.evaluate("new Promise(tell => setTimeout(() => tell(location.href), REST))")

    def nodes(self):
        found = self.page.evaluate("[...document.querySelectorAll('.node')].map(node => ({...node.dataset}))")
        return {facts["name"]: {key: x for key, x in facts.items() if key != "key"} for facts in found}

    def edges(self):
        return self.page.evaluate("[...document.querySelectorAll('.edge')].map(edge => ({...edge.dataset}))")

    def cells(self, table):
        """Return the cells' texts; for numbers, all their digits."""
        rows = f"[...document.querySelectorAll('#{table} tr')]"
        return self.page.evaluate(f"{rows}.map(row => [...row.cells].map(cell => cell.title || cell.textContent))")


def example():
    """Return y = tanh(h*v + x*x) of h = w*x + b, in which x is used three times."""
    x, w, v, b = Value(0.5, "x"), Value(-3, "w"), Value(2, "v"), Value(1.25, "b")
    h = w * x + b
    h.label = "h"
    y = (h * v + x * x).tanh()
    y.label = "y"
    return y, {"x": x, "w": w, "v": v, "b": b, "h": h, "y": y}


def below(root):
    """Return every node below `root`."""
    found, waiting = {root: None}, [root]
    while waiting:
        for parent in waiting.pop().parents:
            if parent not in found:
                found[parent] = None
                waiting.append(parent)
    return list(found)


def labelled(root):
    """Give a label to every node below `root` that has none; return the nodes by their labels."""
    nodes = below(root)
    for i, node in enumerate(nodes):
        node.label = node.label or f"n{i}"
    return {node.label: node for node in nodes}


def same(a, b, tolerance=0.0):
    return a == b or (a != a and b != b) or abs(a - b) <= tolerance * max(abs(a), abs(b))


def assert_gradients(shown, nodes):
    """Compare the page's nodes with Python's, to the last bit."""
    assert shown.keys() == nodes.keys()
    for name, node in nodes.items():
        assert shown[name]["state"] == "complete"
        assert same(float(shown[name]["value"]), node.data), name
        if node.requires_grad:
            assert same(float(shown[name]["grad"]), node.grad), name
        else:
            assert shown[name]["grad"] == ""


def position(page):
    return int(page.page.locator("#progress").inner_text().split()[1])


def message(page):
    return page.page.locator("#message").inner_text()
