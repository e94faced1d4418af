"""Draw from a strategy quickly."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

QUICK = settings(
    database=None,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
    max_examples=50,
)


def drawn_from(strategy, count=150):
    """Return what the strategy draws, many at once, which takes less time than one by one."""
    found = []

    @settings(QUICK, max_examples=4)
    @given(st.lists(strategy, min_size=count // 3, max_size=count // 3))
    def draw(xs):
        found.extend(xs)

    draw()
    return found
