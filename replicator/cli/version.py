"""`replicator version`."""

from replicator import __version__
from replicator.cli.options import AsJson
from replicator.cli.output import print_document, print_line


def version(*, as_json: AsJson = False) -> None:
    """Say which version this is.

    Example: replicator version --json
    """
    import platform

    if as_json:
        print_document({"version": __version__, "python": platform.python_version()})
    else:
        print_line(f"replicator {__version__} (Python {platform.python_version()})")
