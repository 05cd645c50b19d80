"""Test functions whose global minima are known: to search, to benchmark and to look at.

A `Problem` is a function with its box, *all* its global minimizers in there, and its source.
Problems of two variables are values (`booth`, `branin`); those of n variables are functions of n
(`rosenbrock(5)`); `all_problems(n)` lists them. Minimizers without a closed form were computed
with 40 digits and rounded to float64.

The functions are made of slices and sums, without gathers, so that thousands of them vectorise
under `jax.vmap`. Where a function has a kink, `jax.grad` still gives a finite value.

An `OnlineProblem` is a sequence of gradients: the three with which Reddi, Kale and Kumar show that
Adam can fail.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import ArrayLike as NumpyArrayLike

from jamsgrad import _check


class Problem(NamedTuple):
    """A function to minimise in a box, and what is known about it.

    Attributes:
      name: the function's name.
      fun: takes x of shape (n,), returns a scalar of x's dtype. Pure; one object serves every n.
      bounds: (lower, upper), float64 arrays of shape (n,).
      minimizers: every global minimizer in the box, float64, shape (k, n).
      minimum: the value of fun at the minimizers.
      source: who published the function, and whose box this is.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import amsgrad, minimize, problems
      >>> booth = problems.booth
      >>> booth.minimizers, booth.minimum
      (array([[1., 3.]]), 0.0)
      >>> result = minimize(booth.fun, jnp.zeros(2), amsgrad(0.3, b2=0.99), bounds=booth.bounds)
      >>> [round(x, 3) for x in result.x.tolist()]
      [1.0, 3.0]
    """

    name: str
    fun: Callable[[jax.Array], jax.Array]
    bounds: tuple[np.ndarray, np.ndarray]
    minimizers: np.ndarray
    minimum: float
    source: str


class OnlineProblem(NamedTuple):
    r"""Linear losses of one variable, one per step, and the best fixed x.

    The loss of step t and the regret of the points x_1, ..., x_T are

    .. math:: f_t(x) = g_t \, x, \quad R_T = \sum_{t=1}^T (f_t(x_t) - f_t(x^*))

    with x* the `minimizer`. At a fixed x the regret grows by `expected_gradient * (x - minimizer)`
    per step.

    Attributes:
      name: the problem's name.
      gradient: `gradient(t, key)` is g_t at step t = 1, 2, ...; one key serves all steps, and
        sequences without chance ignore it. Weakly typed, so that it takes on x's dtype.
      bounds: (lower, upper) of x.
      minimizer: the x in the bounds with the least mean loss.
      expected_gradient: the mean of g_t over a period, or over chance.
      source: where the sequence was published.

    Example:
      >>> import jax
      >>> from jamsgrad import problems
      >>> online, key = problems.reddi_theorem1, jax.random.key(0)
      >>> [float(online.gradient(t, key)) for t in (1, 2, 3, 4)]
      [3.0, -1.0, -1.0, 3.0]
      >>> online.minimizer, sum(float(online.gradient(t, key)) for t in (1, 2, 3))
      (-1.0, 1.0)
    """

    name: str
    gradient: Callable[[ArrayLike, jax.Array], jax.Array]
    bounds: tuple[float, float]
    minimizer: float
    expected_gradient: float
    source: str


# -- what the problems are made of -----------------------------------------------------------------

_JAMIL_YANG = "Jamil and Yang, A literature survey of benchmark functions, IJMMNO 4, 2013"
_LIBRARY = "box: Surjanovic and Bingham, Virtual Library of Simulation Experiments, 2013"
_DE_JONG = "De Jong, An analysis of the behavior of a class of genetic adaptive systems, 1975"
_DIXON_SZEGO = "Dixon and Szegö, The global optimization problem, 1978"


def _constant(values: NumpyArrayLike) -> np.ndarray:
    """A float64 array that nobody can change: the problems are shared by all who import them."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _box(lower: NumpyArrayLike, upper: NumpyArrayLike, n: int = 2) -> tuple[np.ndarray, np.ndarray]:
    return _constant(np.broadcast_to(lower, n)), _constant(np.broadcast_to(upper, n))


def _points(*points: list[float]) -> np.ndarray:
    return _constant(points)


def _sqrt(u: jax.Array) -> jax.Array:
    """sqrt(u) whose derivative at 0 is 0; the true one is infinite.

    The inner `where` keeps the infinity out of the unused branch too: there it would meet a
    factor 0 and become NaN.
    """
    zero = u == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, u)))


# -- two variables ---------------------------------------------------------------------------------


def _bowl(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return x0**2 + x1**2


bowl = Problem(
    name="bowl",
    fun=_bowl,
    bounds=_box(-1, 1),
    minimizers=_points([0, 0]),
    minimum=0.0,
    source="Brownlee, Gradient descent optimization with AMSGrad from scratch, 2021",
)


def _booth(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return (x0 + 2 * x1 - 7) ** 2 + (2 * x0 + x1 - 5) ** 2


booth = Problem(
    name="booth",
    fun=_booth,
    bounds=_box(-10, 10),
    minimizers=_points([1, 3]),
    minimum=0.0,
    source=_JAMIL_YANG,
)


def _matyas(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return 0.26 * (x0**2 + x1**2) - 0.48 * x0 * x1


matyas = Problem(
    name="matyas",
    fun=_matyas,
    bounds=_box(-10, 10),
    minimizers=_points([0, 0]),
    minimum=0.0,
    source=_JAMIL_YANG,
)


def _beale(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return (
        (1.5 - x0 * (1 - x1)) ** 2
        + (2.25 - x0 * (1 - x1**2)) ** 2
        + (2.625 - x0 * (1 - x1**3)) ** 2
    )


beale = Problem(
    name="beale",
    fun=_beale,
    bounds=_box(-4.5, 4.5),
    minimizers=_points([3, 0.5]),
    minimum=0.0,
    source=f"Beale, On an iterative method for finding a local minimum, 1958; {_LIBRARY}",
)


def _himmelblau(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return (x0**2 + x1 - 11) ** 2 + (x0 + x1**2 - 7) ** 2


himmelblau = Problem(
    name="himmelblau",
    fun=_himmelblau,
    bounds=_box(-5, 5),
    minimizers=_points(
        [3, 2],
        [-2.805118086952745, 3.131312518250573],
        [-3.779310253377747, -3.2831859912861696],
        [3.5844283403304917, -1.8481265269644036],
    ),
    minimum=0.0,
    source=f"Himmelblau, Applied nonlinear programming, 1972; box: {_JAMIL_YANG}",
)


def _three_hump_camel(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return 2 * x0**2 - 1.05 * x0**4 + x0**6 / 6 + x0 * x1 + x1**2


three_hump_camel = Problem(
    name="three_hump_camel",
    fun=_three_hump_camel,
    bounds=_box(-5, 5),
    minimizers=_points([0, 0]),
    minimum=0.0,
    source=_JAMIL_YANG,
)


def _six_hump_camel(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return (4 - 2.1 * x0**2 + x0**4 / 3) * x0**2 + x0 * x1 + (4 * x1**2 - 4) * x1**2


six_hump_camel = Problem(
    name="six_hump_camel",
    fun=_six_hump_camel,
    bounds=_box([-3, -2], [3, 2]),
    minimizers=_points(
        [0.08984201310031806, -0.7126564030207396],
        [-0.08984201310031806, 0.7126564030207396],
    ),
    minimum=-1.0316284534898774,
    source=f"{_DIXON_SZEGO}; {_LIBRARY}",
)


def _goldstein_price(x: jax.Array) -> jax.Array:
    x0, x1 = x
    first = 19 - 14 * x0 + 3 * x0**2 - 14 * x1 + 6 * x0 * x1 + 3 * x1**2
    second = 18 - 32 * x0 + 12 * x0**2 + 48 * x1 - 36 * x0 * x1 + 27 * x1**2
    return (1 + (x0 + x1 + 1) ** 2 * first) * (30 + (2 * x0 - 3 * x1) ** 2 * second)


goldstein_price = Problem(
    name="goldstein_price",
    fun=_goldstein_price,
    bounds=_box(-2, 2),
    minimizers=_points([0, -1]),
    minimum=3.0,
    source=f"Goldstein and Price, On descent from local minima, 1971; {_LIBRARY}",
)


def _branin(x: jax.Array) -> jax.Array:
    x0, x1 = x
    parabola = x1 - 5.1 / (4 * math.pi**2) * x0**2 + 5 / math.pi * x0 - 6
    return parabola**2 + 10 * (1 - 1 / (8 * math.pi)) * jnp.cos(x0) + 10


branin = Problem(
    name="branin",
    fun=_branin,
    bounds=_box([-5, 0], [10, 15]),
    # Where the parabola and the derivative of the cosine are both 0.
    minimizers=_points([-math.pi, 12.275], [math.pi, 2.275], [3 * math.pi, 2.475]),
    minimum=10 / (8 * math.pi),
    source=f"Branin, Widely convergent method, IBM J. Res. Dev. 16, 1972; box: {_DIXON_SZEGO}",
)


def _mccormick(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return jnp.sin(x0 + x1) + (x0 - x1) ** 2 - 1.5 * x0 + 2.5 * x1 + 1


mccormick = Problem(
    name="mccormick",
    fun=_mccormick,
    bounds=_box([-1.5, -3], [4, 4]),
    # The gradient is 0 where cos(x0 + x1) = -1/2 and x0 - x1 = 1.
    minimizers=_points([0.5 - math.pi / 3, -0.5 - math.pi / 3]),
    minimum=-math.sqrt(3) / 2 - math.pi / 3,
    source=f"McCormick, Computability of global solutions, Math. Prog. 10, 1976; {_LIBRARY}",
)


def _michalewicz(x: jax.Array) -> jax.Array:
    x0, x1 = x
    return (
        -jnp.sin(x0) * jnp.sin(x0**2 / math.pi) ** 20
        - jnp.sin(x1) * jnp.sin(2 * x1**2 / math.pi) ** 20
    )


michalewicz = Problem(
    name="michalewicz",
    fun=_michalewicz,
    bounds=_box(0, math.pi),
    minimizers=_points([2.2029055201726093, math.pi / 2]),
    minimum=-1.8013034100985525,
    source=f"Michalewicz, Genetic algorithms + data structures, 1992, with m = 10; {_LIBRARY}",
)


def _eggholder(x: jax.Array) -> jax.Array:
    x0, x1 = x
    y = x1 + 47
    return -y * jnp.sin(_sqrt(jnp.abs(x0 / 2 + y))) - x0 * jnp.sin(_sqrt(jnp.abs(x0 - y)))


eggholder = Problem(
    name="eggholder",
    fun=_eggholder,
    bounds=_box(-512, 512),
    # On the boundary: the function falls on beyond x0 = 512.
    minimizers=_points([512, 404.2318051137578]),
    minimum=-959.6406627208509,
    source=f"Whitley et al., Evaluating evolutionary algorithms, AI 85, 1996; {_LIBRARY}",
)


# -- n variables -----------------------------------------------------------------------------------


def _sphere(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2)


def sphere(n: int) -> Problem:
    r"""The sphere, the easiest problem of all.

    .. math:: f(x) = \sum_i x_i^2

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-5.12, 5.12]^n, with its minimum 0 at 0.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> float(problems.sphere(3).fun(jnp.array([1.0, 2.0, 3.0])))
      14.0

    References:
      De Jong, An analysis of the behavior of a class of genetic adaptive systems, 1975, F1.
    """
    n = _check.integer("sphere: n", n, 1)
    return Problem(
        name="sphere",
        fun=_sphere,
        bounds=_box(-5.12, 5.12, n),
        minimizers=_points([0] * n),
        minimum=0.0,
        source=f"{_DE_JONG}, F1",
    )


def _rosenbrock(x: jax.Array) -> jax.Array:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock(n: int) -> Problem:
    r"""Rosenbrock's banana: a narrow curved valley, easy to enter and slow to follow.

    .. math:: f(x) = \sum_{i<n} (100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2)

    Args:
      n: number of variables, at least 2.

    Returns:
      The problem on [-2.048, 2.048]^n, with its minimum 0 at (1, ..., 1).

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 2.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> float(problems.rosenbrock(2).fun(jnp.array([-1.0, 1.0])))
      4.0

    References:
      Rosenbrock, An automatic method, Computer J. 3, 1960; box: De Jong, An analysis of the
      behavior of a class of genetic adaptive systems, 1975, F2.
    """
    n = _check.integer("rosenbrock: n", n, 2)
    return Problem(
        name="rosenbrock",
        fun=_rosenbrock,
        bounds=_box(-2.048, 2.048, n),
        minimizers=_points([1] * n),
        minimum=0.0,
        source=f"Rosenbrock, An automatic method, Computer J. 3, 1960; box: {_DE_JONG}, F2",
    )


def _ackley(x: jax.Array) -> jax.Array:
    # 20 + e - 20 exp(-r / 5) - exp(mean(cos(2 pi x))) without its cancellation at 0.
    r = _sqrt(jnp.mean(x**2))
    ripples = -2 * jnp.mean(jnp.sin(math.pi * x) ** 2)  # mean(cos(2 pi x)) - 1
    return -20 * jnp.expm1(-r / 5) - math.e * jnp.expm1(ripples)


def ackley(n: int) -> Problem:
    r"""Ackley's funnel: a nearly flat, rippled plain around a cone.

    .. math::
      f(x) = 20 + e - 20 \exp(-\sqrt{\sum_i x_i^2 / n} \, / 5) - \exp(\sum_i \cos(2 \pi x_i) / n)

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-32.768, 32.768]^n, with its minimum 0 at 0: the tip of the cone, where the
      function has no gradient and `jax.grad` gives 0.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> jax.grad(problems.ackley(2).fun)(jnp.zeros(2)).tolist()
      [0.0, 0.0]

    References:
      Ackley, A connectionist machine for genetic hillclimbing, 1987; box: Surjanovic and Bingham,
      Virtual Library of Simulation Experiments, 2013.
    """
    n = _check.integer("ackley: n", n, 1)
    return Problem(
        name="ackley",
        fun=_ackley,
        bounds=_box(-32.768, 32.768, n),
        minimizers=_points([0] * n),
        minimum=0.0,
        source=f"Ackley, A connectionist machine for genetic hillclimbing, 1987; {_LIBRARY}",
    )


def _rastrigin(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2 + 10 * (1 - jnp.cos(2 * math.pi * x)))


def rastrigin(n: int) -> Problem:
    r"""Rastrigin's egg carton: a bowl with a local minimum near every integer point.

    .. math:: f(x) = \sum_i (x_i^2 + 10 (1 - \cos 2 \pi x_i))

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-5.12, 5.12]^n, with its minimum 0 at 0.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> round(float(problems.rastrigin(2).fun(jnp.array([0.5, 0.0]))), 4)
      20.25

    References:
      Rastrigin, Systems of extremal control, 1974; n variables and box: Mühlenbein, Schomisch and
      Born, Parallel Computing 17, 1991.
    """
    n = _check.integer("rastrigin: n", n, 1)
    return Problem(
        name="rastrigin",
        fun=_rastrigin,
        bounds=_box(-5.12, 5.12, n),
        minimizers=_points([0] * n),
        minimum=0.0,
        source=(
            "Rastrigin, Systems of extremal control, 1974; "
            "n variables and box: Mühlenbein, Schomisch and Born, Parallel Computing 17, 1991"
        ),
    )


def _griewank(x: jax.Array) -> jax.Array:
    i = jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)
    return 1 + jnp.sum(x**2) / 4000 - jnp.prod(jnp.cos(x / jnp.sqrt(i)))


def griewank(n: int) -> Problem:
    r"""Griewank's function: a wide bowl from afar, thousands of local minima from near.

    .. math:: f(x) = 1 + \sum_i x_i^2 / 4000 - \prod_i \cos(x_i / \sqrt i)

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-600, 600]^n, with its minimum 0 at 0.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> float(problems.griewank(5).fun(jnp.zeros(5)))
      0.0

    References:
      Griewank, Generalized descent for global optimization, JOTA 34, 1981; box: Surjanovic and
      Bingham, Virtual Library of Simulation Experiments, 2013.
    """
    n = _check.integer("griewank: n", n, 1)
    return Problem(
        name="griewank",
        fun=_griewank,
        bounds=_box(-600, 600, n),
        minimizers=_points([0] * n),
        minimum=0.0,
        source=f"Griewank, Generalized descent for global optimization, JOTA 34, 1981; {_LIBRARY}",
    )


def _levy(x: jax.Array) -> jax.Array:
    # The textbook's w is 1 + u; sin^2 has period pi, so its argument may drop the 1, and f(1) is 0.
    u = (x - 1) / 4
    first = jnp.sin(math.pi * u[0]) ** 2
    middle = jnp.sum(u[:-1] ** 2 * (1 + 10 * jnp.sin(math.pi * u[:-1] + 1) ** 2))
    last = u[-1] ** 2 * (1 + jnp.sin(2 * math.pi * u[-1]) ** 2)
    return first + middle + last


def levy(n: int) -> Problem:
    r"""Levy's function: a bowl with parallel ripples.

    .. math::
      f(x) &= \sin^2(\pi w_1) + \sum_{i<n} (w_i - 1)^2 (1 + 10 \sin^2(\pi w_i + 1)) \\
           &\quad + (w_n - 1)^2 (1 + \sin^2(2 \pi w_n)), \qquad w_i = 1 + (x_i - 1) / 4

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-10, 10]^n, with its minimum 0 at (1, ..., 1).

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from jamsgrad import problems
      >>> float(problems.levy(4).fun(jnp.ones(4)))
      0.0

    References:
      Laguna and Martí, Advanced scatter search, J. Glob. Optim. 33, 2005; box: Surjanovic and
      Bingham, Virtual Library of Simulation Experiments, 2013.
    """
    n = _check.integer("levy: n", n, 1)
    return Problem(
        name="levy",
        fun=_levy,
        bounds=_box(-10, 10, n),
        minimizers=_points([1] * n),
        minimum=0.0,
        source=f"Laguna and Martí, Advanced scatter search, J. Glob. Optim. 33, 2005; {_LIBRARY}",
    )


def _styblinski_tang(x: jax.Array) -> jax.Array:
    return jnp.sum(x**4 - 16 * x**2 + 5 * x) / 2


def styblinski_tang(n: int) -> Problem:
    r"""Styblinski and Tang's function: two wells in each variable, one a little deeper.

    .. math:: f(x) = \sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-5, 5]^n, with its minimum -39.166 n where every x_i is -2.9035.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> from jamsgrad import problems
      >>> round(problems.styblinski_tang(2).minimum, 4)
      -78.3323

    References:
      Styblinski and Tang, Neural Networks 3, 1990; box: Surjanovic and Bingham, Virtual Library of
      Simulation Experiments, 2013.
    """
    n = _check.integer("styblinski_tang: n", n, 1)
    return Problem(
        name="styblinski_tang",
        fun=_styblinski_tang,
        bounds=_box(-5, 5, n),
        minimizers=_points([-2.903534027771177] * n),
        minimum=-39.16616570377141 * n,
        source=f"Styblinski and Tang, Neural Networks 3, 1990; {_LIBRARY}",
    )


def _schwefel(x: jax.Array) -> jax.Array:
    return -jnp.sum(x * jnp.sin(_sqrt(jnp.abs(x))))


def schwefel(n: int) -> Problem:
    r"""Schwefel's function: the deepest well lies in a far corner, the next best in others.

    .. math:: f(x) = -\sum_i x_i \sin \sqrt{|x_i|}

    without the 418.9829 n that is often added.

    Args:
      n: number of variables, at least 1.

    Returns:
      The problem on [-500, 500]^n, with its minimum -418.98 n where every x_i is 420.97.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 1.

    Example:
      >>> from jamsgrad import problems
      >>> round(problems.schwefel(30).minimum, 1)
      -12569.5

    References:
      Schwefel, Numerical optimization of computer models, 1981, problem 2.26.
    """
    n = _check.integer("schwefel: n", n, 1)
    return Problem(
        name="schwefel",
        fun=_schwefel,
        bounds=_box(-500, 500, n),
        minimizers=_points([420.96874635998205] * n),
        minimum=-418.9828872724337 * n,
        source="Schwefel, Numerical optimization of computer models, 1981, problem 2.26",
    )


# -- all of them -----------------------------------------------------------------------------------

_OF_TWO_VARIABLES = (
    bowl,
    booth,
    matyas,
    beale,
    himmelblau,
    three_hump_camel,
    six_hump_camel,
    goldstein_price,
    branin,
    mccormick,
    michalewicz,
    eggholder,
)
_OF_N_VARIABLES = (
    sphere,
    rosenbrock,
    ackley,
    rastrigin,
    griewank,
    levy,
    styblinski_tang,
    schwefel,
)


def all_problems(n: int) -> tuple[Problem, ...]:
    """Every problem of n variables: for tests, benchmarks and galleries.

    Args:
      n: number of variables, at least 2.

    Returns:
      The problems; more of them for n = 2, the only size that some have.

    Raises:
      TypeError: if n is not an integer.
      ValueError: if n is below 2.

    Example:
      >>> from jamsgrad import problems
      >>> [problem.name for problem in problems.all_problems(5)][:3]
      ['sphere', 'rosenbrock', 'ackley']
      >>> len(problems.all_problems(2))
      20
    """
    n = _check.integer("all_problems: n", n, 2)
    fixed = (problem for problem in _OF_TWO_VARIABLES if problem.bounds[0].size == n)
    return (*fixed, *(problem(n) for problem in _OF_N_VARIABLES))


# -- where Adam fails ------------------------------------------------------------------------------

_REDDI = "Reddi, Kale and Kumar, On the convergence of Adam and beyond, ICLR 2018"
_Gradient = Callable[[ArrayLike, jax.Array], jax.Array]


def _periodic(period: int, first: float, rest: float) -> _Gradient:
    def gradient(t: ArrayLike, key: jax.Array) -> jax.Array:
        del key
        return jnp.where(jnp.mod(t, period) == 1, first, rest)

    return gradient


def _stochastic(probability: float, rare: float, common: float) -> _Gradient:
    def gradient(t: ArrayLike, key: jax.Array) -> jax.Array:
        is_rare = jax.random.bernoulli(jax.random.fold_in(key, t), probability)
        return jnp.where(is_rare, rare, common)

    return gradient


# The rare large gradient points the right way, the frequent small ones the wrong way. Adam divides
# the large one by its own size, then forgets that size.

reddi_theorem1 = OnlineProblem(
    name="reddi_theorem1",
    gradient=_periodic(3, 3.0, -1.0),
    bounds=(-1.0, 1.0),
    minimizer=-1.0,
    expected_gradient=1 / 3,
    source=f"{_REDDI}, Section 3, Theorem 1 with C = 3 (it asks for C > 2)",
)

reddi_online = OnlineProblem(
    name="reddi_online",
    gradient=_periodic(101, 1010.0, -10.0),
    bounds=(-1.0, 1.0),
    minimizer=-1.0,
    expected_gradient=10 / 101,
    source=f"{_REDDI}, Section 5, synthetic experiments, online",
)

reddi_stochastic = OnlineProblem(
    name="reddi_stochastic",
    gradient=_stochastic(0.01, 1010.0, -10.0),
    bounds=(-1.0, 1.0),
    minimizer=-1.0,
    expected_gradient=0.2,
    source=f"{_REDDI}, Section 5, synthetic experiments, stochastic",
)
