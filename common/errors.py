"""Every error that Retort raises on purpose, and the exit code that each gives the command line.

RetortError                 1
├── ConfigError             2   the build file: unknown or malformed keys, unknown board or method
├── DataError               3   a data set: missing, truncated, of the wrong shape or type
├── ToolMissingError        4   a tool that this step needs is not on the machine
├── ToolError               5   a tool ran and failed, or reported success without its product
├── StoreError              6   a stored object is missing or does not match its digest
├── CheckpointError         7   a checkpoint or weight file is corrupt or of another network
├── ModelFileError          8   an ONNX file is corrupt or is not what the step takes
├── LoweringError           9   FINN left a node unlowered, or changed a value
├── CapacityError          10   the design does not fit the chip
├── TimingError            11   the design misses the board's clock
├── VerificationError      12   a rung of the ladder found a mismatch
├── ContractError          13   an accumulator beyond 2^24, or a scale that is no power of two
├── DiskError              25   a disk is full or read-only, or something is in the way of a file
└── LinkError              14   the host link to a board
    ├── PortError          15   the serial port is missing or busy
    ├── SilentBoardError   16   the board does not answer
    ├── FrameError         17   a frame came back damaged, or the board refused ours
    ├── HostKeyError       18   a board reached by SSH is unknown, or shows another host key
    ├── LoginError         19   the board does not take the key, or not for what has to be done
    ├── UnreachableError   20   no connection to the board, or it was lost
    ├── BoardFullError     21   no room on the board's disk
    ├── BoardSetupError    22   the board lacks what the accelerator's driver needs
    ├── BusyBoardError     23   another run has the board
    └── DriverError        24   the accelerator's driver failed on the board
"""


class RetortError(Exception):
    """Base of the tree: one line that says what, where, and what to do, or several such problems."""

    exit_code = 1

    def __str__(self) -> str:
        """All problems in one line."""
        return " | ".join(map(str, self.args))


class ConfigError(RetortError):
    """The build file is malformed, or names something that does not exist."""

    exit_code = 2


class DataError(RetortError):
    """A data set is missing, truncated, mislabelled or of the wrong shape."""

    exit_code = 3


class ToolMissingError(RetortError):
    """A tool that this step needs is not on the machine."""

    exit_code = 4


class ToolError(RetortError):
    """A tool failed, or ended well without leaving its product."""

    exit_code = 5


class StoreError(RetortError):
    """A stored object is missing or does not match its digest."""

    exit_code = 6


class CheckpointError(RetortError):
    """A checkpoint or weight file is corrupt, or belongs to another network."""

    exit_code = 7


class ModelFileError(RetortError):
    """An ONNX file is corrupt, or is not what the step takes."""

    exit_code = 8


class LoweringError(RetortError):
    """FINN left a node unlowered, or changed a value."""

    exit_code = 9


class CapacityError(RetortError):
    """The design does not fit the chip."""

    exit_code = 10


class TimingError(RetortError):
    """The design misses the board's clock."""

    exit_code = 11


class VerificationError(RetortError):
    """A rung of the verification ladder found a mismatch."""

    exit_code = 12


class ContractError(RetortError):
    """The numeric contract does not hold."""

    exit_code = 13


class DiskError(RetortError):
    """A disk is full or read-only, or something else stands where a file or folder has to be."""

    exit_code = 25


class LinkError(RetortError):
    """The host link to a board failed."""

    exit_code = 14


class PortError(LinkError):
    """The serial port is missing or busy."""

    exit_code = 15


class SilentBoardError(LinkError):
    """The board does not answer."""

    exit_code = 16


class FrameError(LinkError):
    """A frame came back damaged, or the board refused ours."""

    exit_code = 17


class HostKeyError(LinkError):
    """A board reached by SSH is none of the known hosts, or shows another key than the known one."""

    exit_code = 18


class LoginError(LinkError):
    """The board refuses the user's key, or the user may not program its chip."""

    exit_code = 19


class UnreachableError(LinkError):
    """There is no connection to the board, or it was lost."""

    exit_code = 20


class BoardFullError(LinkError):
    """The board's disk has no room."""

    exit_code = 21


class BoardSetupError(LinkError):
    """The board lacks what the accelerator's driver needs."""

    exit_code = 22


class BusyBoardError(LinkError):
    """Another run has the board."""

    exit_code = 23


class DriverError(LinkError):
    """The accelerator's driver failed on the board."""

    exit_code = 24


def kinds() -> list[type[RetortError]]:
    """All classes of the tree, by their exit codes."""
    found: list[type[RetortError]] = [RetortError]
    for kind in found:
        found += kind.__subclasses__()
    return sorted(found, key=lambda kind: kind.exit_code)


def by_exit_code(code: int) -> type[RetortError]:
    """The class of that exit code; `RetortError` where none has it."""
    return next((kind for kind in kinds() if kind.exit_code == code), RetortError)
