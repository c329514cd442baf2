"""The status page: one file without outside resources, and the policy that allows nothing else."""

import base64
import hashlib
import re
from importlib import resources

PAGE = resources.files("replicator.monitoring").joinpath("page.html").read_bytes()


def _policy(page: bytes) -> str:
    """Only the inline style and script of this very page run, and only this server is asked."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_digest(page, b'style')}'",
            f"script-src '{_digest(page, b'script')}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _digest(page: bytes, element: bytes) -> str:
    (content,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), page, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


CONTENT_SECURITY_POLICY = _policy(PAGE)
