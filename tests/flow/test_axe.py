"""The pages are for everyone: axe-core finds nothing in any state, in both languages, at three widths."""

import shutil
import subprocess
import tarfile

import pytest

from micrograd_cn import playground

VERSION = "4.10.3"  # of npm's axe-core, which only this test needs
RUN = "axe.run(document, { %sresultTypes: ['violations'] }).then(({ violations }) => violations)"
STATES = {
    "the forward pass": "",
    "the end": "commands.end()",
    "a part that was opened": """(() => {
        const nested = EXAMPLES.find(([name]) => name === "squares");
        readTyped(nested[1], new Map(Object.entries(nested[2])));
    })()""",
    "a nudge and a step of learning": """(() => {
        byId("change").value = 30;
        showWays();
        byId("learning").open = true;
        learn();
    })()""",
    "an error": "readTyped('tahn(x) +')",
    "a question": "(() => { commands.start(); commands.predict(); commands.step(); })()",
    "all buttons": "(() => { commands.predict(); commands.more(); })()",
    "help": "commands.help()",
    "a network": "(() => { byId('helping').close(); showRoom('board'); })()",
    "a trained network and a neuron": """(() => {
        for (let i = 0; i < 30; i++) session.board.trainer.step();
        refresh();
        wiring.pin({ l: 0, j: 1 });
    })()""",
    "a wrong setting": "(() => { byId('b_rate').value = 'x'; byId('b_rate').dispatchEvent(new Event('input')); })()",
    "points to draw": "(() => { byId('b_rate').value = '0.1'; setTraining('data', 'own'); })()",
    "a batch": "(() => { setTraining('data', 'moons'); openBatch(); commands.end(); })()",
    "a language model": "(() => { byId('tab_model').click(); model.learner.step(); invent(10); showModel(); })()",
    "one's own lines": """(() => {
        byId('m_lines').value = 'one\\ntwo';
        byId('m_lines').dispatchEvent(new Event('input'));
        setModel('words', 'own');
        setModel('typed', 'xx');
    })()""",
    "lessons": "offerLessons()",
    "a prediction": """(() => {
        byId('lessons').close();
        showLesson('dead', 2);
        document.querySelector('#lesson_choices button').click();
    })()""",
    "a lesson of the network": "showLesson('neuron', 3)",
    "a chance": "(() => { showLesson('attention', 1); openChance(3); commands.end(); })()",
}


@pytest.fixture(scope="module")
def axe(request):
    """Give axe-core's script; npm fetches it once."""
    folder = request.config.cache.mkdir("axe-core")
    script = folder / f"axe-{VERSION}.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("accessibility is not tested: there is no npm to fetch axe-core with")
        done = subprocess.run(
            [npm, "pack", f"axe-core@{VERSION}", "--silent"], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"accessibility is not tested: npm cannot fetch axe-core: {done.stderr.strip()[-200:]}")
        with tarfile.open(folder / done.stdout.split()[-1]) as archive:
            script.write_bytes(archive.extractfile("package/axe.min.js").read())
    return script.read_text(encoding="utf-8")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("lang", "width"),
    [
        ("zh", 360),
        ("en", 1280),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("en", 360), ("en", 768), ("zh", 768), ("zh", 1280))
        ),
    ],
)
def test_axe_finds_nothing(lang, width, axe, opened):
    page = opened(
        playground(lang), replays=False, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    ).page
    page.evaluate(axe)
    found = {}
    for state, change in STATES.items():
        if change:
            page.evaluate(change)
        for theme, rules in {"light": "", "dark": "runOnly: ['color-contrast'], "}.items():
            if theme == "dark" and width != 1280:
                continue
            page.evaluate(f"setTheme('{theme}')")
            for each in page.evaluate(RUN % rules):
                found[state, theme, each["id"]] = [node["html"][:160] for node in each["nodes"]][:4]
    assert not found, "\n".join(f"{where}: {what}" for where, what in found.items())
