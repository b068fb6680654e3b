"""How the experts of a subset of the modalities become one Gaussian."""

from tf_mopoe.pooling.correlated import Correlated
from tf_mopoe.pooling.geometric_mean import GeometricMean
from tf_mopoe.pooling.hellinger import Hellinger
from tf_mopoe.pooling.hoelder import Hoelder
from tf_mopoe.pooling.pooling import Pooling
from tf_mopoe.pooling.product import Product
from tf_mopoe.pooling.weighted import WeightedProduct

__all__ = ["Correlated", "GeometricMean", "Hellinger", "Hoelder", "Pooling", "Product", "WeightedProduct"]
