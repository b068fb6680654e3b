"""Measures of a trained model: functions that return {name: value}."""

from tf_mopoe.evaluation.classifiers import read_label, train_classifier
from tf_mopoe.evaluation.coherence import classifier_accuracy, conditional_coherence, joint_coherence

__all__ = ["classifier_accuracy", "conditional_coherence", "joint_coherence", "read_label", "train_classifier"]
