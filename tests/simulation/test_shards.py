"""What the shards of a simulation share. The cluster itself: ``test_ray_engine``."""

from autograms.simulation.budget import Budget
from autograms.simulation.shards import Clerk


def taken(clerk: Clerk, shard: int, expected: float = 0.1) -> int:
    """Return how many calls of a shard the budget still holds."""
    count = 0
    while clerk.take(shard, expected):
        count += 1
    return count


def test_what_a_lost_worker_set_aside_is_put_back() -> None:
    clerk = Clerk(Budget(calls=10))
    for shard in (0, 1):
        clerk.begin(shard)
        assert [clerk.take(shard, 0.0) for _ in range(4)] == [True] * 4
    clerk.put(0, 0.0, 0.0, 0)  # one of the four is answered, and three are lost with their worker
    clerk.begin(0)
    assert taken(clerk, 0) == 10 - 4 - 1


def test_money_that_a_lost_worker_set_aside_is_put_back() -> None:
    clerk = Clerk(Budget(usd=1.0))
    assert [clerk.take(0, 0.25) for _ in range(4)] == [True] * 4
    clerk.put(0, 0.25, 0.5, 0)
    clerk.begin(0)
    assert taken(clerk, 1, 0.125) == 4


def test_what_a_lost_worker_paid_counts_though_it_is_told_late() -> None:
    clerk = Clerk(Budget(usd=1.0, calls=3))
    clerk.take(0, 0.5)
    clerk.begin(0)
    clerk.put(0, 0.5, 0.75, 0)
    assert not clerk.take(0, 0.5)
    assert taken(clerk, 0, 0.0) == 2
