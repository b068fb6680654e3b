"""How the experts of a subset of the modalities become one Gaussian."""

from tf_mopoe.pooling.pooling import Pooling
from tf_mopoe.pooling.product import Product

__all__ = ["Pooling", "Product"]
