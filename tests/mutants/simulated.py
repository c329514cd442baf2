"""The simulation as mutants meet it: the same schedules every time, and no search for short ones.

Not collected by itself: `make mutants` names it.
"""

from tests.engine.test_state_machine import run


def test_the_simulation_is_quiet():
    run(examples=120, steps=40, shrink=False)
