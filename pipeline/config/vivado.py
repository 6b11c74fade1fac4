"""`[vivado]`: where AMD's tools are, and how far a build for an AMD board goes with them."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hw.boards.board import Board
from hw.boards.boards import find
from pipeline.config.section import MAX_COUNT, Section

if TYPE_CHECKING:
    from pipeline.config.build import Build

Absolute = Annotated[str, Field(pattern=r"^/[^,]*$")]
Word = Annotated[str, Field(pattern=r"^[^\s-]\S*$")]

_DIGEST = "@sha256:"


class VivadoConfig(Section):
    """Vivado: on this machine (`local`), in FINN's image (`docker`), or on a build host (`ssh`).

    Attributes:
        target: FINN's stitched IP, that placed and routed alone, or with a shell, up to what a board gets.
        version: of Vivado, `2024.2`, where neither the PATH nor an image's digest tells it.
        settings: scripts to source first: `settings64.sh`, XRT's `setup.sh`.
        python: the one that has finn-plus.
        hours: until it is killed.
        samples: frames for Vivado's simulator; each takes seconds to minutes.
        cpp_driver: commit of FINN's C++ driver, for Alveo cards.
        image: FINN's image, `NAME@sha256:DIGEST`.
        mounts: folders of AMD's tools and licences, which no image may hold.
        host: `user@name`, or a name of the ssh configuration.
        folder: there, in the user's home if not absolute.
        ssh_config: in place of the user's own.
    """

    where: Literal["local", "docker", "ssh"] = "local"
    target: Literal["stitched-ip", "out-of-context", "bitfile"] = "bitfile"
    version: Annotated[str, Field(pattern=r"^\d{4}\.\d(\.\d)?$")] | None = None
    settings: tuple[Absolute, ...] = ()
    python: Word | None = None
    hours: Annotated[float, Field(gt=0, le=1000)] = 12.0
    samples: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 2
    cpp_driver: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    image: Word | None = None
    mounts: tuple[Absolute, ...] = ()
    host: Word | None = None
    folder: Annotated[str, Field(pattern=r"^[\w./-]+$")] = ".cache/retort"
    ssh_config: str | None = None

    @property
    def key(self) -> dict[str, object]:
        """What changes the products; which machine makes them, and in what time, does not."""
        return self.model_dump(mode="json", include={"target", "version", "samples", "cpp_driver", "image"})


_OWN = {"docker": ("image", "mounts"), "ssh": ("host", "folder", "ssh_config")}


def vivado_problem(config: "Build") -> str | None:
    """What is wrong with a build's `[vivado]`, if anything."""
    asked = config.vivado
    if asked is None:
        return None
    return _place_problem(asked) or _version_problem(asked) or _board_problem(asked, find(config.board.name))


def _place_problem(asked: VivadoConfig) -> str | None:
    for where, names in _OWN.items():
        strange = [name for name in names if name in asked.model_fields_set]
        if asked.where != where and strange:
            return f"vivado.{strange[0]}: is for where = '{where}', here it is '{asked.where}'; remove it"
    if asked.where == "ssh" and asked.host is None:
        return "vivado.host: is missing; give user@name, or a name of your ssh configuration"
    if asked.where != "docker":
        return None
    name, mark, digest = (asked.image or "").partition(_DIGEST)
    if not (name and mark and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
        return (
            f"vivado.image: '{asked.image or ''}' may be another image tomorrow; give NAME{_DIGEST}DIGEST, as"
            " `docker images --digests` shows it"
        )
    if not asked.mounts:
        return "vivado.mounts: is missing; no image may hold AMD's tools, give the folder that has them"
    return None


def _version_problem(asked: VivadoConfig) -> str | None:
    """The store's key needs the version; on the PATH it is looked up, an image's digest stands for it."""
    hidden = asked.where == "ssh" or (asked.where == "local" and asked.settings)
    if hidden and asked.version is None:
        return "vivado.version: is missing; give the version of Vivado that is there, like '2024.2'"
    return None


def _board_problem(asked: VivadoConfig, board: Board) -> str | None:
    if not board.family.uses_vivado:
        return f"vivado: {board.name} is none of AMD's; remove [vivado], or take another board"
    if asked.cpp_driver and board.finn.shell != "alveo":
        return f"vivado.cpp_driver: FINN has it for Alveo cards alone, {board.name} is none; remove it"
    if asked.cpp_driver and asked.target != "bitfile":
        return f"vivado.cpp_driver: goes with target = 'bitfile', here it is '{asked.target}'; remove it"
    return None
