"""A model's config and its files: all that Keras needs to save and load a `MultimodalVAE`, and to copy it."""

import json
import os
from collections.abc import Mapping, MutableMapping
from typing import Any, NoReturn, Self

import numpy as np
import tensorflow as tf

from tf_mopoe import config_checks, freezing, sharing
from tf_mopoe.hyperparameters import as_number
from tf_mopoe.inputs import FLAG
from tf_mopoe.names import plain_names

NAMES = "modalities"  # beside the model's weights in a file: whose they are, in order
STEP = "step"  # and how many training steps were taken
PARTS = ("encoders", "decoders", "joint_posterior", "objective", "prior", "private_prior")


class Saved:
    """Saving and loading of `MultimodalVAE` by Keras; stands before `keras.Model` among its bases."""

    def layer_parts(self) -> dict[str, Any]:
        """The constructor's arguments that are layers."""
        parts = {
            "encoders": {name: self.encoders[name] for name in self.modalities},
            "decoders": {name: self.decoders[name] for name in self.modalities},
            "joint_posterior": self.mixture,
            "prior": self.prior,
        }
        return parts | ({"private_prior": dict(self.private_priors)} if self.private_priors else {})

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            **sharing.serialize(self.layer_parts() | {"objective": self.objective}),
            "reconstruction_weights": self.weights_config(),
            "private_beta": as_number(self.private_beta),
            "private_source": self.private_source,
            "private_temperature": self.private_temperature,
            "seed": self.seed,
            "frozen": freezing.frozen(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        config = dict(config)
        frozen = config.pop("frozen", None)
        parts = {name: config.pop(name) for name in ("shared", *PARTS) if name in config}
        with sharing.loading():
            model = cls(**sharing.deserialize(parts, custom_objects), **config)
        if frozen is not None:  # files of earlier versions do not say
            freezing.freeze(model, frozen)
        return model

    def save(self, filepath: os.PathLike | str, *args, **kwargs) -> None:
        """Save as `keras.Model.save`, with a warning of classes that are not registered, without which no file is read.

        Raises:
            ValueError: for a model whose parts cannot be made again from their configs, as a file of it could not be loaded.
        """
        if self.save_fault:
            raise ValueError(self.save_fault)
        config_checks.warn_of_unregistered(self, self.layer_parts() | {"objective": self.objective})
        super().save(filepath, *args, **kwargs)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        super().save_own_variables(store)
        store[NAMES] = np.frombuffer(json.dumps(list(self.encoders)).encode(), np.uint8)
        store[STEP] = np.asarray(self.step.read_value())

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        store = {key: store[key] for key in list(store.keys())}
        # Earlier versions do not say; theirs are in the order of the constructor's argument.
        found = json.loads(np.asarray(store.pop(NAMES)).tobytes()) if NAMES in store else list(self.modalities)
        if found != list(self.encoders):
            raise ValueError(f"The file must have weights of the modalities {list(self.encoders)}. Received: {found}")
        self.step.assign(np.asarray(store.pop(STEP, 0)))
        super().load_own_variables(store)

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        """What `tf.train.Checkpoint(model=model)` saves: the weights, which Keras leaves out where layers are in a dict."""
        children = super()._trackable_children(save_type, **kwargs)
        if save_type == "checkpoint":
            children |= {f"weight {number}": variable._value for number, variable in enumerate(self.variables)}
        return children

    def quantize(self, *args, **kwargs) -> NoReturn:
        """Raise a ValueError: use `tf_mopoe.export.tflite_encoders` instead, or each network's own method."""
        raise ValueError(
            "`quantize` is not there for the whole model, whose heads stay in float32. For encoders of 8 bits: "
            'tf_mopoe.export.tflite_encoders(model, path, quantization="int8", representative=rows); for one network: '
            'model.encoders[name].network.quantize("int8"), which is saved and loaded as usual'
        )

    def export(self, *args, **kwargs) -> NoReturn:
        """Raise a ValueError: use `tf_mopoe.export` instead."""
        raise ValueError(
            "`export` is not there for this model, which has several signatures. For TF Serving: "
            "tf_mopoe.export.saved_model(model, path); for LiteRT: tf_mopoe.export.tflite_encoders(model, path)"
        )

    @property
    def _default_save_signature(self):
        """What `tf.saved_model.save(model, path)` writes as "serving_default": what `predict` gives, of rows and flags."""
        inner = plain_names(self.modalities)
        specs = {n: tf.TensorSpec([None, *spec.shape], spec.dtype, inner[n]) for n, spec in self.specs.items()}
        flags = {FLAG + name: tf.TensorSpec([None], tf.bool, FLAG + inner[name]) for name in specs}
        return tf.function(lambda rows: self(rows), input_signature=[specs | flags], autograph=False)
