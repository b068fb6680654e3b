"""Bounds on log p(X), one per file. An objective is a pure function of distributions."""

from tf_mopoe.objectives.code import CoDE
from tf_mopoe.objectives.contrastive import Contrastive
from tf_mopoe.objectives.crmvae import CRMVAE
from tf_mopoe.objectives.dmvae import DMVAE
from tf_mopoe.objectives.elbo import ELBO
from tf_mopoe.objectives.info_nce import InfoNCE
from tf_mopoe.objectives.iwae import IWAE
from tf_mopoe.objectives.jmvae import JMVAE
from tf_mopoe.objectives.jnf import JNF
from tf_mopoe.objectives.masked import Masked
from tf_mopoe.objectives.mmjsd import MMJSD
from tf_mopoe.objectives.mmvm import MMVM
from tf_mopoe.objectives.mvae import MVAE
from tf_mopoe.objectives.mvtcae import MVTCAE
from tf_mopoe.objectives.telbo import TELBO
from tf_mopoe.objectives.terms import LossTerms, Objective

__all__ = [
    "CRMVAE",
    "DMVAE",
    "ELBO",
    "IWAE",
    "JMVAE",
    "JNF",
    "MMJSD",
    "MMVM",
    "MVAE",
    "MVTCAE",
    "TELBO",
    "CoDE",
    "Contrastive",
    "InfoNCE",
    "LossTerms",
    "Masked",
    "Objective",
]
