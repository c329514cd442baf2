"""Loads of shards as skewed as those of real keys."""

from random import Random


def zipf(shards: int, *, a_minute: float, seed: int = 1) -> list[float]:
    """Records a minute of each shard: the n-th busiest has an n-th of the busiest's."""
    busiest = a_minute / sum(1 / rank for rank in range(1, shards + 1))
    loads = [busiest / rank for rank in range(1, shards + 1)]
    Random(seed).shuffle(loads)
    return loads
