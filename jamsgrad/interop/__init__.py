"""Optimizer state from and to PyTorch, Keras and optax: a run goes on where another left it.

Torch, Keras and h5py are never imported: what they keep are arrays, or tensors that NumPy can read.
"""

from jamsgrad.interop._keras import from_keras as from_keras
from jamsgrad.interop._keras import to_keras as to_keras
from jamsgrad.interop._optax import from_optax as from_optax
from jamsgrad.interop._optax import to_optax as to_optax
from jamsgrad.interop._torch import from_torch as from_torch
from jamsgrad.interop._torch import to_torch as to_torch
