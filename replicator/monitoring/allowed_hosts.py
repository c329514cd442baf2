"""Decides for which `Host` the pages are served, so that a stranger's page cannot read the status.

DNS rebinding makes a browser ask the server under a name of the attacker, who points that name at
an address inside. Names that no stranger can register are therefore taken, and all others are
refused unless the configuration lists the name. An address is no name, and so is always taken.
"""

import ipaddress
import re
from collections.abc import Collection

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")
_NOT_FOR_SALE = (".localhost", ".local", ".internal", ".svc")
"""Suffixes that no registry sells; names of services and pods in Kubernetes end in some suffixes.
"""


def expected(host: str, named: Collection[str]) -> bool:
    """True for a `Host` header of an address, of a name that no stranger can register, or of
    `named`.

    A name in `named` may begin with `*.` for all names below.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    if match[1] is not None:
        return _is_address(match[1])
    name = match[2].lower().removesuffix(".")
    return (
        "." not in name
        or _is_address(name)
        or name.endswith(_NOT_FOR_SALE)
        or any(_covers(each.lower(), name) for each in named)
    )


def _covers(named: str, name: str) -> bool:
    return name.endswith(named[1:]) if named.startswith("*.") else name == named


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
