"""Keras layers that emit tfp distributions."""

from tf_mopoe.layers.decoder import Decoder
from tf_mopoe.layers.gaussian_encoder import GaussianEncoder
from tf_mopoe.layers.mixture_of_products import MixtureOfProducts

__all__ = ["Decoder", "GaussianEncoder", "MixtureOfProducts"]
