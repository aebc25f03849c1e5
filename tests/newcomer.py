"""Replays a stranger's first ten minutes: README and start page, in a clean clone, an empty home.

    python tests/newcomer.py [--folder DIR]

It runs every command of the two pages once, in their order, as they are written, after it has saved
the files that the pages show. It fails if a command fails, or prints nothing for more than five
seconds. It needs a package registry and 12 GB of disk, and takes some minutes: `make newcomer` runs
it in a quiet moment, not `make test`. Without `--folder`, what it made is removed at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from documentation import README, ROOT, START, commands, files

LONGEST_SILENCE = 5.0  # seconds
#: Exit status 3: done, and rows are open for review.
GOOD = (0, 3)
#: What of this process's environment a stranger has too: ways to the package registry.
NETWORK = re.compile(r"PATH$|LANG$|.*(PROXY|proxy|CERT|CA_BUNDLE)|PIP_|UV_|SSL_")
_LINK = re.compile(rb"http://127\S+")


@dataclass(frozen=True)
class Replay:
    """A command that was run.

    Attributes:
        command: as the page has it.
        code: its exit status.
        seconds: how long it took.
        silence: the longest time without output, in seconds.
        before: the last line before that silence.
        output: all of it.
    """

    command: str
    code: int
    seconds: float
    silence: float
    before: str
    output: str

    @property
    def problem(self) -> str:
        """What is wrong with it, "" for nothing."""
        if self.code not in GOOD:
            return f"exit status {self.code}"
        return f"silent for {self.silence:.1f} s" if self.silence > LONGEST_SILENCE else ""


def replay(command: str, entered: str, clone: Path, home: Path) -> Replay:
    """Runs a command and notes when it prints something.

    Args:
        command: as the page has it.
        entered: the environment that was entered before, as a command; "" for none.
        clone: where it is run.
        home: the home folder.
    """
    kept = {key: value for key, value in os.environ.items() if NETWORK.match(key)}
    # `pip` stays inside of the clone's environment, whatever else is on the path.
    environment = {**kept, "HOME": str(home), "BROWSER": "true", "PIP_REQUIRE_VIRTUALENV": "1"}
    process = subprocess.Popen(
        ["bash", "-c", f"{entered}\n{command}"], cwd=clone, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    began = last = time.monotonic()
    silence, before, output = 0.0, "", b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            selector.select()
            piece, now = os.read(process.stdout.fileno(), 1 << 16), time.monotonic()
            if now - last > silence:
                silence, before = now - last, output.decode(errors="replace").strip()[-90:]
            if not piece:
                break
            last, output = now, output + piece
            if b"Ctrl-C ends it" in piece:  # the review page: look at it, and leave
                urllib.request.urlopen(_LINK.findall(output)[0].decode()).close()
                os.killpg(process.pid, signal.SIGINT)
    code = process.wait()
    seconds, text = time.monotonic() - began, output.decode(errors="replace")
    return Replay(command, code, seconds, silence, before.splitlines()[-1] if before else "", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keep clone and home here")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory(prefix="newcomer_") as made:
        return _replay_all((given or Path(made)).resolve())


def _replay_all(folder: Path) -> int:
    clone, home = folder / "strata", folder / "home"
    home.mkdir(parents=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    began, first_tree, entered = time.monotonic(), None, ""
    done: list[Replay] = []
    for page in (README, START):
        for name, text in files(page).items():
            (clone / name).write_text(text, encoding="utf-8")
        for command in commands(page):
            if command in {one.command for one in done}:
                continue
            if command.startswith("source "):
                entered = command
            one = replay(command, entered, clone, home)
            done.append(one)
            print(f"{one.seconds:6.1f} s  silent {one.silence:4.1f} s  {command}", flush=True)
            if one.problem:
                print(f"          {one.problem}, after: {one.before}", flush=True)
            if one.code not in GOOD:
                print(one.output[-3000:])
            if first_tree is None and any(clone.glob("*/tree.html")):
                first_tree = time.monotonic() - began
    print(f"\nfirst tree after {first_tree or 0:.0f} s, all after {time.monotonic() - began:.0f} s")
    return 1 if any(one.problem for one in done) or first_tree is None else 0


if __name__ == "__main__":
    sys.exit(main())
