"""Draws the diagrams of the docs, so that the site needs no script to show them.

`python -m tests.docs.diagrams MERMAID` draws `docs/pictures/*.mmd` as SVG with headless Chromium;
MERMAID is `dist/mermaid.min.js` of the npm package `mermaid`. Each picture holds the digest of the
text that it was drawn from.
"""

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

PICTURES = Path(__file__).parents[2] / "docs/pictures"
PAGE = """<!doctype html><meta charset="utf-8"><body><script src="{script}"></script><script>
const settings = {{startOnLoad: false, theme: "neutral", htmlLabels: false,
  deterministicIds: true, flowchart: {{htmlLabels: false, useMaxWidth: true}}}};
mermaid.initialize(settings);
mermaid.render("diagram", {text}).then(drawn => {{
  document.body.textContent = drawn.svg;
}});
</script>"""


def digest(text: str) -> str:
    """The digest of a diagram's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def drawn_from(picture: str) -> str | None:
    """The digest in a picture; None for a picture of another origin."""
    found = re.search(r"<!-- drawn from ([0-9a-f]{64}) -->", picture)
    return None if found is None else found[1]


def draw(text: str, mermaid: Path) -> str:
    """The SVG of a diagram."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        message = "chromium is not installed"
        raise RuntimeError(message)
    with TemporaryDirectory() as directory:
        page = Path(directory) / "page.html"
        page.write_text(PAGE.format(script=mermaid.resolve().as_uri(), text=json.dumps(text)))
        shown = subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu"),
                *(f"--user-data-dir={directory}/profile", "--allow-file-access-from-files"),
                *("--virtual-time-budget=20000", "--dump-dom", page.as_uri()),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"<body>(.*)</body>", shown, re.DOTALL)
    svg = html.unescape(found[1]) if found is not None else ""
    if not svg.startswith("<svg"):
        message = f"mermaid drew no picture: {shown[:500]}"
        raise RuntimeError(message)
    return f"{svg}\n<!-- drawn from {digest(text)} -->\n"


def main() -> None:
    """Draw every diagram."""
    for source in sorted(PICTURES.glob("*.mmd")):
        picture = draw(source.read_text(), Path(sys.argv[1]))
        source.with_suffix(".svg").write_text(picture)


if __name__ == "__main__":
    main()
