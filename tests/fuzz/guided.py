"""One target under atheris, which mutates what reached new branches.

`python -m tests.fuzz.guided NAME RUNS FOLDER`, with a new FOLDER. It ends with an exit code other than 0 at
the first input that gives neither a right value nor an error of Retort's own tree, and leaves it in FOLDER.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hw", "models", "pipeline", "tests.fuzz.targets", "tomllib"]):
    from tests.fuzz.targets import TARGETS, attempt


def main(name: str, runs: str, folder: str) -> None:
    target, corpus = TARGETS[name], Path(folder) / "corpus"
    corpus.mkdir(parents=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"{number}").write_bytes(seed)
    options = [f"-runs={runs}", "-seed=1", "-timeout=3600", "-max_len=65536", f"-artifact_prefix={folder}/"]
    if target.words:
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words if len(word) < 60))
        options.append(f"-dict={words}")
    arguments = [sys.argv[0], *options, str(corpus)]
    atheris.Setup(arguments, lambda content: attempt(target, content) and None)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(*sys.argv[1:])
