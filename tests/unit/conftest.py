"""How hypothesis runs here: the same examples each time, and no time limit on a machine that others use too."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("unit")
