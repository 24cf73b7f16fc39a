"""The built book in Chromium: `python tests/browser.py BOOK [PAGE...]`. Prints of each page how long it is.

It needs playwright and axe-playwright-python (see .ci/run), and Debian's chromium."""

import functools
import http.server
import json
import pathlib
import re
import shutil
import sys
import threading

import axe_playwright_python
from playwright.sync_api import sync_playwright

THEMES = ["light", "rust", "coal", "navy", "ayu"]
HTML_LIMIT = 200_000
INDEX_LIMIT = 1_500_000
# What a page shows before a fold is opened: words of prose, lines of code, lines of one block.
WORDS, LINES, BLOCK = 1500, 250, 45
# The sections of a chapter's page.
SECTIONS = ["guess", "the-bare-program", "what-the-kernel-was-asked", "what-it-lacks", "the-role",
            "when-to-take-it-and-when-not", "on-the-wire", "do-it"]
# A bare program is shown whole, as long as tests/bare/texts.rs lets it be; a captured run is no code.
WHOLE = {"the-bare-program": 160, "run-it": 60, "what-your-machine-offers": 60}
# What WCAG's level AA asks of a text.
CONTRAST = 4.5
# The smallest text of a picture, in pixels.
SMALLEST = 9
# The rules of axe that one theme may break, and another not.
COLOURS = ["color-contrast", "link-in-text-block"]
# The address of the definition that a search must show first.
DEFINED = {
    "named pipe": "glossary.html#fifo-or-named-pipe",
    "EPIPE": "errors.html#epipe",
    "descriptor": "glossary.html#file-descriptor",
}

AXE = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")
    print(f"{where}: {what}", flush=True)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(book):
    handler = functools.partial(Quiet, directory=book)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def watch(page, home):
    """Each message of the console, each request that leaves the book, each that fails."""
    def foreign(request):
        if not request.url.startswith((home, "data:")):
            fault(page.url, f"asks for {request.url}")

    def failed(response):
        if response.status >= 400:
            fault(page.url, f"{response.status}: {response.url}")

    def said(message):
        if message.type in ("error", "warning"):
            fault(page.url, f"console: {message.text}")

    page.on("request", foreign)
    page.on("response", failed)
    page.on("console", said)
    page.on("pageerror", lambda error: fault(page.url, f"script: {error}"))


def open_folds(page):
    # Of the folds with the same name only one can be open.
    page.evaluate("""() => document.querySelectorAll('details').forEach(fold => {
        fold.removeAttribute('name');
        fold.open = true;
    })""")


def headings(page, name):
    levels = page.evaluate("""() =>
        [...document.querySelectorAll('main :is(h1, h2, h3, h4, h5, h6)')].map(h => +h.tagName[1])""")
    if levels.count(1) != 1 or levels[0] != 1:
        fault(name, f"headings {levels}: one title, which is the first")
    for before, after in zip(levels, levels[1:]):
        if after > before + 1:
            fault(name, f"a heading of level {after} follows one of level {before}")


def shape(page, name):
    """What is shown before a fold is opened, and in which order; what of it the report has."""
    shown = page.evaluate("""() => {
        const main = document.querySelector('main'), all = [...main.querySelectorAll('*')];
        const before = (one, other) => !!(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);
        const blocks = all.filter(e => e.matches('pre') && e.checkVisibility()).map(e => ({
            lines: e.innerText.trimEnd().split('\\n').length,
            section: all.findLast(h => h.matches('h1, h2') && before(h, e)).id,
        }));
        const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
        let words = 0;
        while (texts.nextNode()) {
            const element = texts.currentNode.parentElement;
            if (element.checkVisibility() && !element.closest('pre, svg, table, summary, h1, h2, h3, h4')) {
                words += texts.currentNode.data.split(/\\s+/).filter(word => /\\w/.test(word)).length;
            }
        }
        const first = selector => all.findIndex(e => e.matches(selector) && e.checkVisibility());
        return {
            blocks, words,
            sections: all.filter(e => e.matches('h2')).map(e => e.id),
            picture: first('svg[role=img]'), guess: first('.guess'), code: first('pre'),
            next: all.some(e => e.matches('strong') && e.textContent === 'Next:' && e.parentElement.querySelector('a')),
            height: main.scrollHeight,
        };
    }""")
    lines = sum(block["lines"] for block in shown["blocks"])
    # A glossary is no prose: nobody reads it through.
    if shown["words"] > WORDS and name != "glossary.html":
        fault(name, f"{shown['words']} words of prose")
    if lines > LINES:
        fault(name, f"{lines} lines of code")
    for block in shown["blocks"]:
        if block["lines"] > WHOLE.get(block["section"], BLOCK):
            fault(name, f"{block['lines']} lines of code at once below #{block['section']}")
    if not shown["next"] and name != "glossary.html":
        fault(name, "no page comes next")
    if "the-bare-program" in shown["sections"]:
        if [section for section in shown["sections"] if section in SECTIONS] != SECTIONS:
            fault(name, f"sections {shown['sections']}")
        if not -1 < shown["picture"] < shown["guess"] < shown["code"]:
            fault(name, "not a picture, then a guess, and then the first code")
    return f"{shown['words']} words, {lines} lines of code, {shown['height']} px high"


def sideways(page, name):
    wide = page.evaluate("""() => {
        const [all, here] = [document.scrollingElement.scrollWidth, innerWidth];
        const beyond = [...document.querySelectorAll('main *')].filter(e =>
            e.getBoundingClientRect().right > here + 1 && !e.closest('pre, .trace, .map, .table-wrapper'));
        return all > here || beyond.length > 0
            ? `${all} px wide: ${beyond.slice(0, 3).map(e => e.outerHTML.slice(0, 120))}` : null;
    }""")
    if wide:
        fault(name, wide)


def broken(page, name):
    """Short words of code in a line of text that are broken at a hyphen."""
    words = page.evaluate("""() => [...document.querySelectorAll('main :not(pre) > code')].flatMap(code => {
        const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), broken = [];
        while (texts.nextNode()) {
            for (const {0: word, index} of texts.currentNode.data.matchAll(/[^ ]*-[^ ]*/g)) {
                const range = document.createRange();
                range.setStart(texts.currentNode, index);
                range.setEnd(texts.currentNode, index + word.length);
                const lines = new Set([...range.getClientRects()].map(line => Math.round(line.top)));
                if (lines.size > 1 && word.length <= 30) { broken.push(word); }
            }
        }
        return broken;
    })""")
    if words:
        fault(name, f"code is broken at a hyphen: {words[:5]}")


def legible(page, name):
    small = page.evaluate("""least => [...document.querySelectorAll('main svg')].flatMap(picture => {
        const scale = picture.getBoundingClientRect().width / picture.viewBox.baseVal.width;
        const sizes = [...picture.querySelectorAll('text, tspan')]
            .map(e => scale * parseFloat(getComputedStyle(e).fontSize));
        const size = Math.min(...sizes);
        return picture.checkVisibility() && size < least
            ? [`${size.toFixed(1)} px: ${picture.querySelector('title')?.textContent}`] : [];
    })""", SMALLEST)
    if small:
        fault(name, f"texts of pictures are too small: {small}")


def axe(page, name, **options):
    found = page.evaluate(f"axe.run({json.dumps(options | {'resultTypes': ['violations']})})")
    for violation in found["violations"]:
        nodes = violation["nodes"]
        for node in nodes[:3]:
            why = " ".join(node["failureSummary"].split())
            fault(name, f"axe {violation['id']}, one of {len(nodes)}: {node['html'][:150]!r}: {why}")


def only(*rules):
    return {"type": "rule", "values": rules}


def accessible(page, name):
    """All rules of axe in the theme that is set; those on colours in each."""
    page.evaluate(AXE)
    axe(page, name, rules={rule: {"enabled": False} for rule in COLOURS})
    # Of the elements of a kind one is looked at, and of a text its beginning: axe takes a minute
    # for all of a long page. What is drawn it cannot judge.
    page.evaluate("""() => {
        const seen = new Set();
        document.querySelectorAll('main svg').forEach(picture => picture.remove());
        const all = [...document.querySelectorAll('main *, #mdbook-sidebar *')];
        for (const element of all.reverse()) {
            if (element.childElementCount > 0) { continue; }
            let kind = '';
            for (let e = element; e !== document.body; e = e.parentElement) {
                kind += `${e.tagName} ${e.className} ${e.getAttribute('style')} `;
            }
            if (seen.has(kind)) { element.remove(); }
            seen.add(kind);
        }
        const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) { texts.currentNode.data = texts.currentNode.data.slice(0, 40); }
    }""")
    in_each_theme(page, name)


def choose(page, theme):
    """Chooses a theme, and waits until its style sheets, and no others, are there."""
    page.evaluate("theme => document.getElementById(`mdbook-theme-${theme}`).click()", theme)
    page.wait_for_function("""() => [...document.querySelectorAll('link[rel=stylesheet]')]
        .every(link => link.disabled === !link.sheet)""")


def in_each_theme(page, name):
    page.add_style_tag(content="* { transition: none !important; }")
    for theme in THEMES:
        choose(page, theme)
        axe(page, f"{name} in {theme}", runOnly=only(*COLOURS))


def drawn(page, name):
    """The contrast of each text in a picture with the shape that is drawn below it, in each theme."""
    page.add_style_tag(content="* { transition: none !important; }")
    for theme in THEMES:
        choose(page, theme)
        dim = page.evaluate("""least => {
            const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
            function luminance(colour) {
                canvas.fillStyle = colour;
                canvas.fillRect(0, 0, 1, 1);
                const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(value => {
                    value /= 255;
                    return value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
                });
                return .2126 * r + .7152 * g + .0722 * b;
            }
            const dim = [];
            for (const picture of document.querySelectorAll('main svg')) {
                const shapes = [];
                const page = [picture, document.documentElement].map(e => getComputedStyle(e).backgroundColor)
                    .find(colour => colour !== 'rgba(0, 0, 0, 0)');
                for (const element of picture.querySelectorAll('rect, path, text, tspan')) {
                    const {fill, fillOpacity} = getComputedStyle(element);
                    const at = element.getBoundingClientRect();
                    if (element.matches('rect, path')) {
                        if (fill !== 'none' && fillOpacity === '1') { shapes.push({at, fill}); }
                    } else if (at.width > 0 && [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim())) {
                        const [x, y] = [at.left + at.width / 2, at.top + at.height / 2];
                        const below = shapes.findLast(({at}) =>
                            at.left < x && x < at.right && at.top < y && y < at.bottom);
                        const ground = below?.fill ?? page;
                        const [low, high] = [luminance(fill), luminance(ground)].sort((a, b) => a - b);
                        const contrast = (high + .05) / (low + .05);
                        if (contrast < least) {
                            dim.push(`${contrast.toFixed(2)}, ${fill} on ${ground}: ${element.textContent.trim()}`);
                        }
                    }
                }
            }
            return dim;
        }""", CONTRAST)
        if dim:
            fault(f"{name} in {theme}", f"{len(dim)} texts of pictures have little contrast: {dim[:4]}")


def keyboard(page, name):
    """Tab reaches the search and every fold, and Enter opens one."""
    page.evaluate("""() => {
        window.seen = new Set();
        document.addEventListener('focusin', event => window.seen.add(event.target));
        window.folds = [...document.querySelectorAll('summary')].filter(s => s.checkVisibility());
    }""")
    stops = page.evaluate("document.querySelectorAll('a, button, summary, input, pre, [tabindex]').length")
    for _ in range(stops + 5):
        page.keyboard.press("Tab")
    missed = page.evaluate("""() => [document.getElementById('find-open'), ...window.folds]
        .filter(e => !window.seen.has(e)).map(e => e.outerHTML.slice(0, 100))""")
    if missed:
        fault(name, f"Tab does not reach {missed}")
    opened = page.evaluate("window.folds.length && window.folds[0].focus()")
    if opened != 0:
        page.keyboard.press("Enter")
        if not page.evaluate("window.folds[0].parentElement.open"):
            fault(name, "Enter does not open a fold")


def printed(page, name):
    page.emulate_media(media="print")
    folds, hidden = page.evaluate("""() => {
        const inside = [...document.querySelectorAll('details > :not(summary)')];
        return [inside.length, inside.filter(e => !e.checkVisibility()).length];
    }""")
    if hidden:
        fault(name, f"{hidden} of the {folds} parts of folds are not printed")
    page.emulate_media(media="screen")
    return folds


def index(book, pages):
    """Its size; each entry leads to a place that is there."""
    file = book / "find-index.js"
    if file.stat().st_size > INDEX_LIMIT:
        fault(file.name, f"{file.stat().st_size} bytes")
    text = file.read_text().removeprefix("window.findIndex = ").rstrip().rstrip(";")
    entries = json.loads(re.sub(r",\s*\]$", "]", text))
    ids = {page.name: set(re.findall(r'\bid="([^"]+)"', page.read_text())) for page in pages}
    for _, url, *_ in entries:
        page, _, id = url.partition("#")
        if page not in ids or (id and id not in ids[page]):
            fault(file.name, f"{url} leads nowhere")
    for name in ids.keys() - {url.partition("#")[0] for _, url, *_ in entries}:
        fault(file.name, f"{name} is not in it")
    return len(entries)


def search(page, home):
    """The keys of the search, and what it finds first."""
    def focused():
        return page.evaluate("[document.activeElement.tagName, document.activeElement.getAttribute('href')]")

    for word, first in DEFINED.items():
        for key in ["/", "s"]:
            page.goto(home + "pipe.html")
            page.keyboard.press(key)
            page.keyboard.type(word)
            page.wait_for_selector("#find li a")
            found = page.get_attribute("#find li a", "href")
            if found != first:
                fault("search", f"{word!r} finds {found} first, not {first}")
        # Only the box is looked at here, and not the page below it.
        page.evaluate("document.querySelector('main').replaceChildren()")
        page.evaluate(AXE)
        axe(page, f"search for {word!r}")
        in_each_theme(page, f"search for {word!r}")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        if focused() != ["A", found]:
            fault("search", f"the arrows lead to {focused()}")
        page.keyboard.press("Escape")
        if page.evaluate("document.getElementById('find').open"):
            fault("search", "Escape does not close it")
        page.keyboard.press("/")
        page.keyboard.press("Enter")
        page.wait_for_url(home + found)
    page.keyboard.press("/")
    page.keyboard.type("no such word zzz")
    page.wait_for_function("document.querySelector('#find [role=status]').textContent === '0 places'")


def main(book, *names):
    book = pathlib.Path(book)
    pages = sorted(book.glob("*.html"))
    # index.html is the introduction again.
    others = ("print.html", "toc.html", "404.html", "index.html")
    pages = [page for page in pages if page.name not in others]
    home = serve(book)
    entries = index(book, pages)
    folds = 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        phone = chromium.new_page(viewport={"width": 390, "height": 844})
        desk = chromium.new_page(viewport={"width": 1280, "height": 900})
        for page in [phone, desk]:
            page.set_default_timeout(120_000)
            watch(page, home)
        for file in pages:
            name = file.name
            if names and name not in names:
                continue
            if file.stat().st_size > HTML_LIMIT:
                fault(name, f"{file.stat().st_size} bytes of HTML")
            phone.goto(home + name)
            narrow = phone.evaluate("document.querySelector('main').scrollHeight")
            sideways(phone, f"{name} on a phone")
            legible(phone, f"{name} on a phone")
            open_folds(phone)
            sideways(phone, f"{name} on a phone, all folds open")
            broken(phone, f"{name} on a phone, all folds open")
            phone.evaluate(AXE)
            axe(phone, f"{name} on a phone", runOnly=only("scrollable-region-focusable", "target-size"))
            desk.goto(home + name)
            headings(desk, name)
            print(f"{name}: {shape(desk, name)}, {narrow} px on a phone; {file.stat().st_size} bytes")
            folds += printed(desk, name)
            keyboard(desk, name)
            open_folds(desk)
            drawn(desk, name)
            accessible(desk, name)
        desk.goto(home + "print.html")
        in_one = printed(desk, "print.html")
        if not names and in_one != folds:
            fault("print.html", f"{in_one} parts of folds, {folds} on the pages")
        search(desk, home)
        chromium.close()
    print(f"{len(pages)} pages, {folds} parts of folds, {entries} entries in the index: "
          f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
