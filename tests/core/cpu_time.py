"""A bound on the CPU time of one call, for programs that show that no input takes for ever.

A bound on the time of a clock would tell a hang from a busy machine only where it is minutes long,
and a search that takes a minute, for a text that takes a millisecond, would stay below it.
"""

import signal

from tests.support.bounds import scaled

CALL_SECONDS_MAX = scaled(2.0)
"""More than twenty times what the dearest call takes that is linear."""


def one_call() -> None:
    """From here to the next of these, or SIGPROF ends the program, also inside the interpreter."""
    signal.setitimer(signal.ITIMER_PROF, CALL_SECONDS_MAX)
