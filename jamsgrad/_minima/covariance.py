"""The covariance of the parameters at a minimum: the inverse of the Hessian there."""

import numpy as np

_ULPS = 4  # times the number of variables: smaller curvatures may be rounding


class SingularError(Exception):
    """A Hessian has no inverse: in this direction, shape (d,), the value does not rise."""

    def __init__(self, direction: np.ndarray) -> None:
        super().__init__(direction)
        self.direction = direction


def covariance(hessian: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The inverse of the Hessian, shape (d, d), in the coordinates that are not held; 0 elsewhere.

    The unit of each coordinate is such that its curvature is 1. So units that differ by many powers
    of ten cost no digits.

    Raises:
      SingularError: if the value does not rise in all directions, as far as rounding lets one see.
    """
    free, result = ~held, np.zeros(hessian.shape)
    if not free.any():
        return result
    curvature = np.diag(hessian)[free].astype(float)
    if curvature.min() <= 0:
        raise SingularError(
            1.0 * (np.arange(free.size) == np.flatnonzero(free)[curvature.argmin()])
        )
    unit = 1 / np.sqrt(curvature)
    scaled = unit[:, None] * hessian[np.ix_(free, free)] * unit
    rises, axes = np.linalg.eigh(scaled / 2 + scaled.T / 2)
    if rises[0] <= _ULPS * len(unit) * np.finfo(hessian.dtype).eps:
        direction = np.zeros(free.size)
        direction[free] = axes[:, 0] * unit
        raise SingularError(direction / direction[np.abs(direction).argmax()])
    result[np.ix_(free, free)] = unit[:, None] * ((axes / rises) @ axes.T) * unit
    return result
