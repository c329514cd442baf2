"""TCP ports of 127.0.0.1 for servers that tests start, each given away once."""

import atexit
import socket


def kept_port() -> int:
    """A port that nobody else is given as long as this process lives, used or not.

    A socket is bound to it and does not listen: who connects is refused, who asks the system for
    any port gets another, and a server that names it may listen, again and again.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    atexit.register(kept.close)
    port: int = kept.getsockname()[1]
    return port
