"""What is known of one minimum: where it is, how often it was hit, how well it is determined."""

from typing import NamedTuple

import numpy as np

from jamsgrad._minima.covariance import SingularError, covariance
from jamsgrad._tree import Tree, as_row, as_tree, names

_SHOWN = 6  # components of a direction, and directions
_WAYS_OUT = {
    "flat": "fix one of these by lower == upper, or add data or a prior that tells them apart",
    "saddle": "search on from it with another optimizer, or take a lower minimum",
    "unconverged": "search with more steps, or a smaller gtol",
    "unknown": (
        "the Hessian is computed for the 256 best minima and up to 200 variables, where fun has "
        "finite second derivatives"
    ),
}


class Minimum(NamedTuple):
    """One of the distinct minima that many searches found.

    Rows, columns and coordinates are the numbers of x in the order of `jax.tree.leaves(x)`, a
    complex one as its real and its imaginary part. There are d of them.

    Attributes:
      x: its best point, a tree of NumPy arrays.
      fun: the value there.
      count: how many searches ended in it.
      hit_rate: count / all searches, from starts as they were drawn, or chosen by `screen`.
      hit_rate_interval: the 95 % Wilson interval of the hit rate, (low, high). It holds for
        independent starts (`starts="uniform"`). Sobol and Latin hypercube starts spread more evenly
        than chance, so that for them it is usually too wide. For a grid (`basin_map`) or starts of
        your own it is not an interval of confidence.
      kind: "minimum"; "on the boundary", if the value would fall only outside the bounds; "saddle",
        if it falls in some direction; "flat", if in some direction it hardly changes: by less than
        1e-5 of what it changes in the box, or less than rounding; "unconverged", if Newton's step
        is longer than 1e-3 of the box, so that even the best of its searches is not at its end;
        "unknown", if the Hessian is not finite or was not computed: beyond the 256 best minima, or
        for more than 200 variables. The unit of `fun` or x does not count.
      condition: largest / smallest absolute eigenvalue of the Hessian in the coordinates that no
        bound holds; inf if a direction is flat, NaN if there are none or the kind is unknown.
      extent: how far apart the points lie where the searches ended, a tree like x: the largest
        minus the smallest value of each coordinate. Small at a minimum; at a valley or a plateau,
        whose kind is "flat", the part of it that was found.
      grad_norm: the largest component of the (projected) gradient at x.
      hessian: the second derivatives at x, a NumPy array of shape (d, d), in the units of `fun`
        over those of x squared. None where they were not computed, or are not finite.
      held: for each coordinate whether it is fixed (lower == upper) or at a bound beyond which the
        value would fall, bool, shape (d,); None without a Hessian.
      unsettled: directions in x, shape (k, d): those along which a "flat" minimum hardly changes, a
        "saddle" falls, or an "unconverged" one may not be at its end. The leading component of each
        is 1. Components below a thousandth of it, in widths of the box, are 0. None without a
        Hessian.

    Example:
      >>> import jax
      >>> import jamsgrad
      >>> result = jamsgrad.multistart(
      ...     lambda x: x[0] ** 2 + 4 * x[1] ** 2, ([-1, -1], [1, 1]), jamsgrad.amsgrad(0.1),
      ...     key=jax.random.key(0), n_starts=100)
      >>> (minimum,) = result.minima
      >>> minimum.count, minimum.hit_rate, minimum.kind, minimum.condition
      (100, 1.0, 'minimum', 4.0)
      >>> print("{:.3f} to {:.3f}".format(*minimum.hit_rate_interval))
      0.963 to 1.000
      >>> minimum.hessian.tolist()
      [[2.0, 0.0], [0.0, 8.0]]
    """

    x: Tree
    fun: float
    count: int  # pyright: ignore[reportIncompatibleMethodOverride], the field's word for it
    hit_rate: float
    hit_rate_interval: tuple[float, float]
    kind: str
    condition: float
    extent: Tree
    grad_norm: float
    hessian: np.ndarray | None = None
    held: np.ndarray | None = None
    unsettled: np.ndarray | None = None

    def covariance(self) -> np.ndarray:
        r"""The covariance of x, where `fun` is half a chi-square or a negative log likelihood.

        It is the inverse of the Hessian H in the coordinates that no bound holds:

        .. math:: C = H^{-1}, \qquad
                  H_{ij} = \frac{\partial^2 f}{\partial x_i \, \partial x_j}

        A coordinate that is `held` is taken as known: its row and column are 0, and the errors of
        the others are those at its value. A chi-square itself is twice what `fun` must be, so that
        the covariance is then twice the inverse of its Hessian; of a mean over n residuals it is
        the inverse divided by n.

        The Hessian is the exact one. That of Gauss and Newton, which `scipy.optimize.curve_fit`
        inverts, lacks the residuals times the second derivatives of the model.

        Returns:
          A symmetric float64 array of shape (d, d), in the units of x times those of x.

        Raises:
          ValueError: if it is no "minimum" and not "on the boundary", or a direction is flat. The
            message says along which combination of parameters, and what to do.

        Example:
          >>> import jax
          >>> import jax.numpy as jnp
          >>> from jamsgrad import amsgrad, multistart
          >>> t, y, noise = jnp.arange(3.0), jnp.array([1.0, 3.0, 5.0]), 0.1
          >>> def half_chi_square(x):
          ...     return 0.5 * jnp.sum(((x["offset"] + x["slope"] * t - y) / noise) ** 2)
          >>> box = {"offset": 0.0, "slope": 0.0}, {"offset": 4.0, "slope": 4.0}
          >>> found = multistart(
          ...     half_chi_square, box, amsgrad(0.1), key=jax.random.key(0), n_starts=50, gtol=0.1)
          >>> print(found.minima[0].covariance().round(4))  # the offset, then the slope
          [[ 0.0083 -0.005 ]
           [-0.005   0.005 ]]

        References:
          Press et al., Numerical Recipes, 3rd edition, section 15.6.
        """
        if self.kind not in ("minimum", "on the boundary"):
            raise ValueError(self._refusal(self.kind))
        assert self.hessian is not None
        assert self.held is not None
        assert self.unsettled is not None
        if len(self.unsettled):
            raise ValueError(self._refusal("flat"))
        try:
            return covariance(self.hessian, self.held)
        except SingularError as error:
            said = in_words(self.x, error.direction)
            raise ValueError(
                f"the Hessian has no inverse in {self.hessian.dtype}: fun does not fix {said}; "
                f"{_WAYS_OUT['flat']}, or compute in float64"
            ) from None

    def standard_errors(self) -> Tree:
        r"""The standard errors of x, where `fun` is half a chi-square or a negative log likelihood.

        They are the roots of the diagonal of the `covariance`, which says what holds for other
        objectives:

        .. math:: \sigma_i = \sqrt{C_{ii}}

        The error of a coordinate that is fixed, or held by a bound, is 0. Its own uncertainty is
        not known then, and the errors of the others are those at its value.

        Returns:
          A tree like x of NumPy arrays, in the units of x. The error of a complex number is that of
          its real part, and as imaginary part that of its imaginary part.

        Raises:
          ValueError: as `covariance`.

        Example:
          >>> import jax
          >>> import jax.numpy as jnp
          >>> from jamsgrad import amsgrad, multistart
          >>> y = jnp.array([1.1, 0.9, 1.0, 1.2])  # each +- 0.1
          >>> found = multistart(
          ...     lambda mean: 0.5 * jnp.sum(((mean - y) / 0.1) ** 2), (0.0, 2.0), amsgrad(0.1),
          ...     key=jax.random.key(0), n_starts=50, gtol=0.1)
          >>> (minimum,) = found.minima
          >>> print(f"{minimum.x:.2f} +- {minimum.standard_errors():.2f}")
          1.05 +- 0.05

        References:
          As `covariance`.
        """
        return as_tree(np.sqrt(np.diag(self.covariance())), self.x)

    def _refusal(self, kind: str) -> str:
        """Why there are no errors, and what to do."""
        along = self.directions()
        said = {
            "flat": f"it is flat along {along}, which fun does not fix",
            "saddle": f"it is a saddle: the value falls along {along}",
            "unconverged": "it is unconverged: Newton's step leads further than 1e-3 of the box",
            "unknown": "its kind is unknown",
        }[kind]
        return f"this minimum has no covariance, {said}; {_WAYS_OUT[kind]}"

    def directions(self) -> str:
        """The `unsettled` directions in words, such as "rate +1, offset[0] -2; offset[1]".

        Returns:
          The directions, separated by semicolons: each coordinate that changes and by how much, in
          proportion, or its name alone if no other one changes. If a valley is known only by the
          ends of the searches, how far these are apart. At most six of each; empty if there are
          none.

        Example:
          >>> import jax
          >>> from jamsgrad import amsgrad, multistart
          >>> box = {"gain": 0.0, "offset": 0.0}, {"gain": 2.0, "offset": 2.0}
          >>> found = multistart(
          ...     lambda x: (x["gain"] + x["offset"] - 2.0) ** 2, box, amsgrad(0.1),
          ...     key=jax.random.key(0), n_starts=50)
          >>> found.minima[0].kind, found.minima[0].directions()
          ('flat', 'gain +1, offset -1')
        """
        if self.unsettled is None:
            if self.kind != "flat":
                return ""
            apart = zip(names(self.x), as_row(self.extent), strict=True)
            return _listed([f"{name} by {by:.3g}" for name, by in apart if by], ", ")
        return _listed([in_words(self.x, direction) for direction in self.unsettled], "; ")


def in_words(x: Tree, direction: np.ndarray) -> str:
    """A direction, shape (d,), by the names of the parameters that change: "rate +1, offset -2"."""
    changed = [(name, by) for name, by in zip(names(x), direction, strict=True) if by]
    if len(changed) == 1:
        return changed[0][0]
    return _listed([f"{name} {by:+.3g}" for name, by in changed], ", ")


def _listed(words: list[str], between: str) -> str:
    """The first words."""
    return between.join(words[:_SHOWN] + ["..."] * (len(words) > _SHOWN))
