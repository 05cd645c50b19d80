"""The update: AMSGrad as an optax transformation, and the optimizers made of it."""
