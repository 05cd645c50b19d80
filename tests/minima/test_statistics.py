"""Hit rates and the chance of new minima: by hand, and by simulation."""

import math

import numpy as np
import pytest
from wells import found

from jamsgrad import problems
from jamsgrad._minima.statistics import chance_of_new


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # z = 1.959964, z^2 = 3.841459: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
        (1, 10, 0.0178762, 0.4041500),
        (5, 10, 0.2365931, 0.7634069),
        (10, 10, 0.7224672, 1.0),
    ],
)
def test_wilson_interval_by_hand(count, n, low, high):
    (minimum,) = found(problems.bowl.fun, np.zeros((count, 2)), n_searches=n)
    assert minimum.hit_rate == count / n
    np.testing.assert_allclose(minimum.hit_rate_interval, (low, high), atol=1e-7)


@pytest.mark.parametrize(
    ("counts", "chance", "limit"),
    [
        # s + z^2/2 + z sqrt(s + 2d + z^2/4) over n, z = 1.959964, s found once, d twice
        ([5], 0, 3.841459 / 5),
        ([10_000], 0, 3.841459e-4),
        ([1], 1, 1),
        ([3, 2, 2], 0, 6.285937 / 7),
        ([40, 30, 20, 8, 1, 1], 0.02, 7.292987 / 100),
        ([50, 40, 3, 2, 2, 1, 1, 1], 0.03, 10.450595 / 100),
    ],
)
def test_chance_of_new_is_good_turings_and_its_limit_estys(counts, chance, limit):
    found = chance_of_new(counts)
    np.testing.assert_allclose(found, (chance, limit), rtol=1e-6)
    assert all(map(math.isnan, chance_of_new([])))


@pytest.mark.parametrize("n", [5, 30, 200])
@pytest.mark.parametrize("rare", [1, 3, 20, 200])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_the_limit_holds_in_95_of_100_searches(n, rare, share):
    # Minima that share a part of the starts, and one that has the others.
    shares = np.array([1 - share, *[share / rare] * rare])
    rng = np.random.default_rng(1)
    right = 0
    for counts in rng.multinomial(n, shares, 1000):
        _, limit = chance_of_new([int(count) for count in counts if count])
        right += np.sum(shares[counts == 0]) <= limit
    assert right >= 950
