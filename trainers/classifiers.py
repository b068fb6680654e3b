"""The classifiers that measure what a model of an experiment makes: trained once, and kept in a folder."""

from tf_mopoe.files import held, write_aside
from trainers import reading


def load_classifiers(experiment, modalities, folder, seed=0):
    """Load the classifiers that an earlier evaluation left in `folder`; train the missing ones, and save them there."""
    classifiers = {file.stem: reading.load_classifier(file) for file in sorted(folder.glob("[!.]*.keras"))}
    classifiers = experiment.label_functions | classifiers
    if missing := set(modalities) - set(classifiers):
        print("Training the classifiers ...", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        trained = experiment.train_classifiers(seed=seed)
        with held(folder):
            for name in missing & set(trained):
                write_aside(folder / f"{name}.keras", trained[name].save)
                classifiers[name] = trained[name]
    return classifiers
