"""Published data sets: where they come from, their checksums, and how they are fetched once a machine."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import DataError
from models.data.cifar import CIFAR10, CIFAR100
from models.data.idx import NAMES

TIMEOUT = 30
"""Seconds that a server may be silent."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its name, the SHA-256 of its bytes, and the addresses to get it from, in turn."""

    name: str
    sha256: str
    urls: tuple[str, ...]


def _mirrored(mirrors: Sequence[str], checksums: dict[str, str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(name, sha256, tuple(mirror + name for mirror in mirrors))
        for name, sha256 in checksums.items()
    )


_IDX_NAMES = tuple(f"{name}.gz" for name in NAMES)

# Fashion-MNIST: the addresses of its own page. The md5 sums that it gives are of the same files.
_FASHION_MNIST = _mirrored(
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    dict(
        zip(
            _IDX_NAMES,
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
            strict=True,
        )
    ),
)
# MNIST: its first home is empty; these are the mirrors of torchvision and TensorFlow Datasets.
_MNIST = _mirrored(
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    dict(
        zip(
            _IDX_NAMES,
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
            strict=True,
        )
    ),
)
_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
REMOTE: dict[str, tuple[RemoteFile, ...]] = {
    "fashion-mnist": _FASHION_MNIST,
    "mnist": _MNIST,
    "cifar10": _mirrored(
        _TORONTO, {CIFAR10.archive: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
    ),
    "cifar100": _mirrored(
        _TORONTO, {CIFAR100.archive: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"}
    ),
}


@dataclass(frozen=True)
class Package:
    """A data set of the operating system: folder, package, SHA-256 of each file once decompressed."""

    folder: Path
    name: str
    contents: dict[str, str]


PACKAGES: dict[str, Package] = {
    # Debian compressed the files anew, so that only their content is comparable.
    "fashion-mnist": Package(
        Path("/usr/share/datasets/fashion-mnist"),
        "dataset-fashion-mnist",
        dict(
            zip(
                NAMES,
                (
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
                strict=True,
            )
        ),
    )
}


def default_cache() -> Path:
    """The user's cache folder for downloads, as the operating system has it."""
    import pooch

    return Path(pooch.os_cache("retort"))


def fetch(name: str, files: Sequence[RemoteFile], cache: Path, hint: str = "") -> Path:
    """Bring all `files` of data set `name` into its folder below `cache`, and return the folder.

    A file that is there already, with the right checksum, is not fetched again; a partial one never appears.

    Raises `DataError`: no mirror gave a file; ends with what to do, `hint` first.
    """
    folder = cache / name
    for file in files:
        if not _is_there(folder / file.name, file.sha256):
            _fetch_one(name, file, folder, hint)
    return folder


def _fetch_one(name: str, file: RemoteFile, folder: Path, hint: str) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    reason = ""
    for url in file.urls:
        try:
            pooch.retrieve(
                url,
                f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
            )
            return
        except ValueError:
            reason = reason or "another checksum than published"
        except OSError as cause:  # requests' exceptions are such, too
            reason = reason or _first_words(cause)
    raise DataError(
        f"{name}: {file.name} cannot be downloaded ({reason}); {hint}put the published files in a folder and "
        "give it as data.folder"
    )


def _first_words(cause: Exception) -> str:
    """The kind of the failure, and its text where it is short."""
    text = str(cause)
    return text if 0 < len(text) < 100 and "\n" not in text else type(cause).__name__


def _is_there(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
