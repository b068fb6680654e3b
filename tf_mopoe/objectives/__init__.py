"""Bounds on log p(X), one a file. An objective is a pure function of distributions and inputs."""

from tf_mopoe.objectives.elbo import ELBO, Terms

__all__ = ["ELBO", "Terms"]
