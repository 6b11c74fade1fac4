"""Kills a build at random, again and again, then lets it finish: nothing may be lost, nothing may change.

`python -m tests.bench.kill_resume [--kills 20] [--seed 0]` prints a line a kill and a verdict; it fails where
a finished build differs from the undisturbed one in any digest, or an object is missing or damaged.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import TINY, build, retort


def kill_once(file: Path, folder: Path, delay: float) -> bool:
    """Start a build, kill it after `delay` seconds; whether it had ended by then."""
    argv = [sys.executable, "-m", "pipeline", "--quiet", "build", str(file)]
    argv += ["--store", str(folder / "store"), "--out", str(folder / "out")]
    process = subprocess.Popen(
        argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    assert process.returncode == 0, f"the build failed by itself: exit code {process.returncode}"
    return True


def digests(lock: Path) -> dict[str, object]:
    """Keys and digests of everything in a `build.lock.json` that is not volatile."""
    content: dict[str, object] = json.loads(lock.read_text())["stages"]
    return content


def torture(file: Path, folder: Path, kills: int, seed: int, longest: float) -> int:
    """Kill `kills` builds, each after at most `longest` seconds; how many finished builds it took.

    Every build that ends, and the last one, is compared with an undisturbed one, and run once more, which
    verifies every object of the store and must build nothing.
    """
    reference = digests(build(file, folder / "undisturbed").folder / "build.lock.json")
    rng = random.Random(seed)
    rounds, killed = 0, 0
    while True:
        here = folder / f"round{rounds}"
        while killed < kills:
            delay = rng.uniform(0.1, longest)
            if kill_once(file, here, delay):
                break
            killed += 1
            print(f"kill {killed} after {delay:.1f} s, round {rounds}", flush=True)
        built = build(file, here)
        assert digests(built.folder / "build.lock.json") == reference, "the digests are others"
        again = retort("build", file, "--store", built.store, "--out", here / "out")
        assert ": 0 of " in again.stdout, again.stdout + again.stderr
        rounds += 1
        if killed == kills:
            return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds until a kill, at most")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tiny.toml"
        file.write_text(TINY.format(name="tiny"))
        rounds = torture(file, Path(folder), arguments.kills, arguments.seed, arguments.longest)
    print(
        f"{arguments.kills} kills over {rounds} builds in {time.monotonic() - began:.0f} s:"
        " every digest as undisturbed, no object lost"
    )


if __name__ == "__main__":
    main()
