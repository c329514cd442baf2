"""Draws docs/demo.svg from what `replicator demo` prints: `python docs/draw_demo.py`.

The demonstration runs in a terminal of its own. Of what it wrote there, the picture has one
frame that it drew while orders were written, and all that it said at its end.
"""

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from io import StringIO
from pathlib import Path
from termios import TIOCSWINSZ

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).with_name("demo.svg")
SECONDS = 12
COLUMNS, LINES = 96, 40
DRAWN_AGAIN = re.compile(rb"(?:\x1b\[1A\x1b\[2K|\r\x1b\[2K)+")
"""What a live display writes before it draws itself anew."""
NO_TEXT = re.compile(rb"\x1b\[\?25[lh]|\x1b\[[0-9]*[A-K]|\r")
OF_THE_RUN = re.compile(r"/replicator-\w+/")
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Rich names fonts on a server of somebody's; a reader's own will do."""


def written() -> bytes:
    """All that the demonstration writes to its terminal; SystemExit when it fails."""
    ours, its = pty.openpty()
    ioctl(its, TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "replicator", "demo", "--seconds", str(SECONDS)]
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as demo:  # noqa: S603
        os.close(its)
        parts = []
        while part := read(ours):
            parts.append(part)
    if demo.returncode:
        sys.exit(b"".join(parts).decode())
    return b"".join(parts)


def read(terminal: int) -> bytes:
    """The next that is written; nothing when the other side is closed, which is an error there."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def drawing(output: bytes) -> tuple[str, str]:
    """A frame from when orders were written, and what was said after all of them."""
    frames = [NO_TEXT.sub(b"", each).decode().strip("\n") for each in DRAWN_AGAIN.split(output)]
    [*_, while_writing] = (each for each in frames if " 4 s more" in each)
    [end] = (each for each in frames if "Equal: " in each)
    return while_writing, end


def main() -> None:
    """Draw it."""
    while_writing, end = drawing(written())
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for text in ("$ replicator demo\n", while_writing, "", end):
        console.print(Text.from_ansi(OF_THE_RUN.sub("/replicator-demo/", text)))
    svg = FONTS.sub("", console.export_svg(title="replicator demo"))
    PICTURE.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
