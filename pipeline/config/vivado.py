"""`[vivado]`: where AMD's tools are, and how far a build for an AMD board goes with them."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import MAX_COUNT, Section

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

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with where Vivado is."""
        for where, names in _OWN.items():
            for name in names:
                usual = type(self).model_fields[name].default
                if self.where != where and getattr(self, name) != usual:
                    yield name, f"is for where = '{where}', here it is '{self.where}'; remove it"
        yield from self._image_problems() if self.where == "docker" else ()
        if self.where == "ssh" and self.host is None:
            yield "host", "is missing; give user@name, or a name of your ssh configuration"
        # The store's key needs the version: on the PATH it is looked up, an image's digest stands for it.
        hidden = self.where == "ssh" or (self.where == "local" and self.settings)
        if hidden and self.version is None:
            yield "version", "is missing; give the version of Vivado that is there, like '2024.2'"
        if self.cpp_driver and self.target != "bitfile":
            yield "cpp_driver", f"goes with target = 'bitfile', here it is '{self.target}'; remove it"

    def _image_problems(self) -> Iterator[tuple[str, str]]:
        name, mark, digest = (self.image or "").partition(_DIGEST)
        if not (name and mark and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
            what = f"'{self.image or ''}' may be another image tomorrow; give NAME{_DIGEST}DIGEST, as"
            yield "image", f"{what} `docker images --digests` shows it"
        if not self.mounts:
            yield "mounts", "is missing; no image may hold AMD's tools, give the folder that has them"

    @property
    def key(self) -> dict[str, object]:
        """What changes the products; which machine makes them, and in what time, does not."""
        return self.model_dump(mode="json", include={"target", "version", "samples", "cpp_driver", "image"})


_OWN = {"docker": ("image", "mounts"), "ssh": ("host", "folder", "ssh_config")}
