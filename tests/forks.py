"""Commands in processes of their own that begin in milliseconds: forks of a process that has done all the imports.

    with Forks() as forks:
        run = forks.start("trainers.train", "--out=runs/x", log=path)
        code, output = run.wait()

`python tests/forks.py` is that process: each line of its input is a request, each line of its output an answer, in JSON.
"""

import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]


class Forks:
    def __init__(self, **environment):
        # One thread: the sums are the same every time.
        environment = {"TF_NUM_INTRAOP_THREADS": "1", "PYTHONPATH": str(ROOT), **os.environ, **environment}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, module, *flags, log):
        """Runs `python -m module *flags`, with what it prints in the file `log`."""
        return Run(self, self.ask(start=[module, *flags], log=str(log)), log)


class Run:
    def __init__(self, forks, pid, log):
        self.forks, self.pid, self.log = forks, pid, pathlib.Path(log)

    def ended(self):
        """Whether it has ended, without waiting."""
        return self.status()[0] == "Z"

    def cpu_seconds(self):
        """What it has used of the processor, until `wait`."""
        return sum(map(int, self.status()[11:13])) / os.sysconf("SC_CLK_TCK")

    def status(self):
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def finish(self):
        """Waits for its success; the seconds of the processor that it used."""
        while not self.ended():
            time.sleep(0.01)
        seconds = self.cpu_seconds()
        code, output = self.wait()
        assert code == 0, output
        return seconds

    def wait(self):
        """Exit code (negative: the signal that ended it), and what it printed."""
        return self.forks.ask(wait=self.pid), self.log.read_text()


def serve():
    answers, requests = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(2, 1)
    preload()
    for line in requests:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                be(request["start"], request["log"])
        print(json.dumps(answer), file=answers, flush=True)


def preload():
    """Imports what commands import, but what defines flags: each command has flags of the same names."""
    from trainers import experiments, run_folder  # noqa: F401, I001  trainers before what imports TensorFlow

    import matplotlib.backends.backend_agg  # noqa: F401
    import tensorboard  # noqa: F401
    import tiny

    experiments.EXPERIMENTS["tiny"] = tiny.Tiny


def be(words, log):
    """Becomes the command, and never returns."""
    for number, path in ((0, os.devnull), (1, log), (2, log)):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(handle, number)
    code = 1
    sys.argv = words
    try:
        runpy.run_module(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
