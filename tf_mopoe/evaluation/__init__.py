"""Measures of a trained model: functions that return {name: value}."""

from tf_mopoe.evaluation.bits import bits_per_dimension
from tf_mopoe.evaluation.calibration import expert_calibration
from tf_mopoe.evaluation.classifiers import predict_labels, train_classifier
from tf_mopoe.evaluation.clusters import cluster_assignments, prune_clusters
from tf_mopoe.evaluation.coherence import (
    classifier_accuracy,
    conditional_coherence,
    joint_coherence,
    mean_by_number_given,
)
from tf_mopoe.evaluation.conflict import expert_conflict
from tf_mopoe.evaluation.features import classifier_features, inception_features
from tf_mopoe.evaluation.frechet import frechet_distance, frechet_distances
from tf_mopoe.evaluation.latent_mixture import latent_mixture
from tf_mopoe.evaluation.linear_probe import linear_accuracy
from tf_mopoe.evaluation.log_likelihood import conditional_log_likelihoods, joint_log_likelihoods

__all__ = [
    "bits_per_dimension",
    "classifier_accuracy",
    "classifier_features",
    "cluster_assignments",
    "conditional_coherence",
    "conditional_log_likelihoods",
    "expert_calibration",
    "expert_conflict",
    "frechet_distance",
    "frechet_distances",
    "inception_features",
    "joint_coherence",
    "joint_log_likelihoods",
    "latent_mixture",
    "linear_accuracy",
    "mean_by_number_given",
    "predict_labels",
    "prune_clusters",
    "train_classifier",
]
