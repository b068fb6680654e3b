"""Puts an evaluated run on record: its figures and model card, and the model itself, into saved_models/<name>/.

    python -m trainers.publish --run=runs/digits --name=digits

Writes README.md (the model card), metrics.json (as of trainers.evaluate), flags.json, model.keras (without the
optimizer), classifiers/ (likewise) and example.npz: some test rows and the model's results for them. With --weights=false
the card and the figures only, for data whose terms do not let models or pictures of it be passed on.

If `python -m trainers.export --run=saved_models/digits --edge=saved_models/digits/edge` has left an export and encoders
there, the card says so.
"""

import pathlib

import numpy as np
from absl import app, flags

import tf_mopoe as mopoe
from tf_mopoe.files import write_aside
from trainers import commands, experiments, reading
from trainers.run_folder import write_json

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "The run's folder, with its evaluation.", required=True)
flags.DEFINE_string("name", None, "Name of the record.", required=True)
flags.DEFINE_string("out", "saved_models", "Folder of the records.")
flags.DEFINE_string("classifiers", None, "As given to trainers.evaluate. Default: <run>/classifiers.")
flags.DEFINE_bool("weights", True, "The model, its classifiers and example rows too.")

EXAMPLES = 4  # rows
# The other flags that shape a run, with their defaults.
PLAIN = {
    "method_settings": [],
    "reconstruction_weights": "own",
    "learned_scales": False,
    "seed": 0,
    "precision": "float32",
    "missing_rate": 0.0,
    "train_rows": 0,
    "deterministic": False,
}


def main(_):
    if not FLAGS.weights:
        commands.refuse(["classifiers"], "with --weights=false")
    run, out = pathlib.Path(FLAGS.run), pathlib.Path(FLAGS.out) / FLAGS.name
    if not (run / "evaluation" / "metrics.json").exists():
        raise app.UsageError(f"--run needs an evaluated run (python -m trainers.evaluate). Received: {run}")
    with commands.output_folder(out, inside=("classifiers",)):
        publish(run, out)


def publish(run, out):
    folder = pathlib.Path(FLAGS.classifiers or run / "classifiers")
    classifiers = list(folder.glob("[!.]*.keras"))
    if FLAGS.weights and not classifiers:
        raise app.UsageError(f"--classifiers must be the folder that trainers.evaluate was given. Received: {folder}")
    settings = reading.read_json(run / "flags.json")
    trained = reading.read_json(run / "metrics.json")
    metrics = reading.read_json(run / "evaluation" / "metrics.json")
    # Do not publish local paths.
    settings = {name: value for name, value in settings.items() if name not in ("out", "resume")}
    experiment = experiments.make(settings)
    given = [name for name in experiment.sources if settings[name]]
    settings |= dict.fromkeys(experiment.sources)
    metrics.pop("data", None)
    if FLAGS.weights:
        model = without_optimizer(reading.load_model(run / "model.keras"))
        write_aside(out / "model.keras", model.save)
        write_example(model, experiment, settings["seed"], out / "example.npz")
        (out / "classifiers").mkdir(exist_ok=True)
        for file in classifiers:
            write_classifier(file, out / "classifiers" / file.name)
    write_json(out / "flags.json", settings)
    write_json(out / "metrics.json", {"training": trained, **metrics})
    table = (run / "evaluation" / "table.md").read_text()
    text = card(out, experiment, settings, given, trained, metrics, table)
    if FLAGS.weights:
        picture = (run / "evaluation" / "translations.png").read_bytes()
        write_aside(out / "translations.png", lambda path: path.write_bytes(picture))
    write_aside(out / "README.md", lambda path: path.write_text(text))
    print(f"On record: {out}")


def without_optimizer(model):
    copy = model.__class__.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def write_classifier(source, path):
    """Write a classifier without its optimizer; one of another record byte by byte, which git then keeps once."""
    classifier = reading.load_classifier(source)
    content = source.read_bytes()
    if classifier.compiled:
        write_aside(path, without_optimizer(classifier).save)
    else:
        write_aside(path, lambda aside: aside.write_bytes(content))


def write_example(model, experiment, seed, path):
    """Write test rows x_<name>, and of each modality alone posterior mean loc_<name> and translations <name>_to_<other>."""
    rows, _ = experiments.load(experiment, "test", seed=seed)
    inputs = rows[:EXAMPLES]
    arrays = {f"x_{name}": x for name, x in inputs.items()}
    for name in model.modalities:
        given = {name: inputs[name]}
        arrays[f"loc_{name}"] = model.encode(given).mean().numpy()
        arrays |= {f"{name}_to_{other}": x.numpy() for other, x in model.translate(given, seed=1).items()}
    write_aside(path, lambda aside: np.savez_compressed(aside, **arrays))


def card(out, experiment, settings, given, trained, metrics, table):
    """Return the model card, in the form of the Hugging Face hub's; `given`: the flags of the data that had a value."""
    command, last = training_command(experiment, settings, given), trained["train"]
    use = f"""
## Use

```python
import keras
import tf_mopoe

model = keras.models.load_model("saved_models/{FLAGS.name}/model.keras")
made = model.generate(16, seed=1)  # {{name: [16, ...]}}, from the prior
```

![Given one modality, every other](translations.png)
{exports(out)}"""
    return f"""---
library_name: keras
tags: [multimodal, vae, generative, tf_mopoe]
license: apache-2.0
---

# {FLAGS.name}

{experiment.__doc__.splitlines()[0]} Method: {settings["method"]}. For research and as an example of the library; it
generates {experiment.description}, and nothing here was made to be relied on.
{use if FLAGS.weights else ""}
## Training

    {command} --out=runs/{FLAGS.name}

tf_mopoe {mopoe.__version__}, commit {trained["commit"]}; {last["epoch"]} epochs, {last["step"]} steps, \
{trained["seconds"]:.0f} s on {trained["device"]}. All flags: flags.json.
Data: {experiment.data}

## Evaluation

    {" ".join(["python -m trainers.evaluate", f"--run=runs/{FLAGS.name}", *metrics["flags"]])}

{table.strip()}

Definitions and sources: the docstrings of `tf_mopoe.evaluation`. All figures: metrics.json.
"""


def training_command(experiment, settings, given):
    """Return the command of a run but for --out, with all that is not its default."""
    private_dim = experiments.private_dim(experiment, settings["method"])
    usual = experiment.defaults | {"private_dim": private_dim} | PLAIN | {"private_beta": settings["beta"]}
    changed = {name: settings[name] for name, plain in usual.items() if settings.get(name, plain) != plain}
    command = ["python -m trainers.train"]
    for name, value in ({name: settings[name] for name in ("dataset", "method")} | changed).items():
        command.append(f"--{name}={','.join(value) if isinstance(value, list) else value}")
    return " ".join(command + [f"--{name}=..." for name in given])


def exports(record):
    """Return the card's section on the export and the encoders that are in the record; nothing if there are none."""
    if not (record / "saved_model").exists():
        return ""
    folder, cards = f"saved_models/{FLAGS.name}", sorted((record / "edge").glob("[!.]*.json"))
    command = ["python -m trainers.export", f"--run={folder}"]
    encoders = ""
    if cards:
        quantization = reading.read_json(cards[0])["quantization"]
        command += [f"--edge={folder}/edge", *([f"--quantization={quantization}"] if quantization else [])]
        encoders = f"""

[edge](edge): each modality's encoder for LiteRT, {quantization or "float32"}, and the fusion of what they give, in NumPy
(docs/edge.md)."""
    return f"""
## Export

    {" ".join(command)}

[saved_model](saved_model/README.md): for TensorFlow Serving, with the lines that start and call it.{encoders}
"""


if __name__ == "__main__":
    commands.run(main)
