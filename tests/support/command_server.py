"""A command ``heatmaps-ome`` for scripts, whose processes start with everything imported.

Importing torch takes seconds, which a script of six commands would spend six times.
"""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import contextmanager
from multiprocessing.connection import Client, Listener
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["heatmaps_ome.run.pipeline", "heatmaps_ome.cli.stages"])


def _work(words, folder, log):
    """Run a command in this process."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.chdir(folder)
    from heatmaps_ome.cli.main import main

    code = main(words)
    sys.stdout.flush()
    os._exit(code)


def _answer(connection, log):
    with connection:
        words, folder = connection.recv()
        process = _CONTEXT.Process(target=_work, args=(words, folder, log))
        process.start()
        connection.send(process.pid)
        process.join()
        connection.send(log.read_text())
        code = process.exitcode
        connection.send(code if code >= 0 else 128 - code)


@contextmanager
def served_command(folder):
    """Yield the text of a shell command that runs ``heatmaps-ome`` in a process of its own."""
    address = str(folder / "s")
    with Listener(address, "AF_UNIX") as listener:

        def serve():
            for number in range(1000):
                try:
                    connection = listener.accept()
                except OSError:
                    return
                log = folder / f"command-{number}.log"
                threading.Thread(target=_answer, args=(connection, log), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f'exec "{sys.executable}" "{__file__}" "{address}" "$@"'


def ask(address, words):
    """Have the server run a command; print what it prints, and return its exit code."""
    with Client(address, "AF_UNIX") as client:
        client.send((words, str(Path.cwd())))
        pid = client.recv()
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        sys.stdout.write(client.recv())
        return client.recv()


if __name__ == "__main__":
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
