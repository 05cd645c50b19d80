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

from jamsgrad.problems._n import ackley as ackley
from jamsgrad.problems._n import griewank as griewank
from jamsgrad.problems._n import levy as levy
from jamsgrad.problems._n import rastrigin as rastrigin
from jamsgrad.problems._n import rosenbrock as rosenbrock
from jamsgrad.problems._n import schwefel as schwefel
from jamsgrad.problems._n import sphere as sphere
from jamsgrad.problems._n import styblinski_tang as styblinski_tang
from jamsgrad.problems._online import OnlineProblem as OnlineProblem
from jamsgrad.problems._online import reddi_online as reddi_online
from jamsgrad.problems._online import reddi_stochastic as reddi_stochastic
from jamsgrad.problems._online import reddi_theorem1 as reddi_theorem1
from jamsgrad.problems._problem import Problem as Problem
from jamsgrad.problems._problem import all_problems as all_problems
from jamsgrad.problems._two import beale as beale
from jamsgrad.problems._two import booth as booth
from jamsgrad.problems._two import bowl as bowl
from jamsgrad.problems._two import branin as branin
from jamsgrad.problems._two import eggholder as eggholder
from jamsgrad.problems._two import goldstein_price as goldstein_price
from jamsgrad.problems._two import himmelblau as himmelblau
from jamsgrad.problems._two import matyas as matyas
from jamsgrad.problems._two import mccormick as mccormick
from jamsgrad.problems._two import michalewicz as michalewicz
from jamsgrad.problems._two import six_hump_camel as six_hump_camel
from jamsgrad.problems._two import three_hump_camel as three_hump_camel
