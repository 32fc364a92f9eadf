"""What the checks in a browser share: where the book is, the sizes of screens, and the server."""

import gzip
import http.server
import os
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
BOOK = Path(os.environ.get("BOOK_HTML", HERE.parent.parent / "_build" / "html"))
LIVE = BOOK / "_static" / "live"
SMALL_PHONE, PHONE, TABLET, WIDE, HEIGHT = 320, 390, 820, 1440, 844
SHEET = 680  # the width of A4 less the margins that print.css sets, in pixels
MEGA = 1_000_000
CLOSE = 1e-3  # how near to Python's a number of a model in the page has to be
TEXTS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
TEXTS |= {".svg": "image/svg+xml"}
# Every page but the one that only leads to the first.
NAMES = sorted(
    name
    for path in BOOK.rglob("*.html")
    if (name := path.relative_to(BOOK).as_posix()) != "index.html"
    and not name.startswith("_static/")
)

# What the page and the worker say to each other is kept.
LISTEN = """
window.heard = [];
window.told = [];
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({data}) => "t" in data && heard.push(data));
  }
  postMessage(message) {
    if (message.settings) told.push(message.settings);
    super.postMessage(message);
  }
};
"""
HEARD = "heard.map(({x_t, x0_hat, ...rest}) => ({x_t: [...x_t], x0_hat: [...x0_hat], ...rest}))"


def script(name):
    """A function in JavaScript, from the file of that name beside this one."""
    return (HERE / f"{name}.js").read_text(encoding="utf-8")


@cache
def compressed(path):
    return gzip.compress(path.read_bytes())


class Handler(http.server.SimpleHTTPRequestHandler):
    """Sends texts compressed, as every host does, and notes what it was asked for in vain."""

    protocol_version = "HTTP/1.1"  # one connection for many files, as every host does
    failed: list[str] = []  # noqa: RUF012

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix not in TEXTS or not path.is_file():
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", f"{TEXTS[path.suffix]}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(compressed(path))))
        self.end_headers()
        self.copyfile(compressed(path), self.wfile)
        return None

    def copyfile(self, source, outputfile):
        try:
            if isinstance(source, bytes):
                outputfile.write(source)
            else:
                super().copyfile(source, outputfile)
        except ConnectionError:  # the browser has left the page
            self.close_connection = True

    def send_error(self, code, *_):
        self.failed.append(f"{code}: {self.path}, wanted by {self.headers.get('Referer')}")
        super().send_error(code)

    def log_message(self, *_):
        pass
