"""What of FINN's Verilog open tools do not take, changed in as few words as can be.

They keep its meaning. `FIXUPS` are for Verilator, in what is simulated; `FOR_YOSYS` come on top where Yosys
counts cells. Each is checked against the text that it is to change, in one version of FINN: where
either differs, there is an error, and no archive. Vivado reads FINN's files as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from common.errors import LoweringError

PACKAGE, VERSION = "finn-plus", "1.6.1"


@dataclass(frozen=True)
class FixUp:
    """Texts of `file`, and what each becomes; `why` says what stands in the way otherwise."""

    file: str
    why: str
    edits: tuple[tuple[str, str], ...]


_LEAVES = """\
		// Compute the count of decendents for all nodes in the reduction trees.
		typedef int unsigned  leaf_load_t[2*N-1];
		function leaf_load_t init_leaf_loads();
			automatic leaf_load_t  res;
			for(int unsigned  i = 2*N-1; i-- > N-1;)  res[i] = 1;
			for(int unsigned  i =   N-1; i-- >   0;)  res[i] = res[2*i+1] + res[2*i+2];
			return  res;
		endfunction : init_leaf_loads
"""
_SUM = "\tuwire [SUM_WIDTH-1:0]  sum0;\n"

FIXUPS: tuple[FixUp, ...] = (
    FixUp(
        "add_multi.sv",
        "a constant function may not stand in a generate block (IEEE 1800, 13.4.3); it comes before it",
        ((_LEAVES, ""), (_SUM, _LEAVES + _SUM)),
    ),
    FixUp(
        "fifo.sv",
        "Verilator evaluates no constant function that gives an unpacked struct; it becomes a packed one",
        (("typedef struct {", "typedef struct packed {"),),
    ),
)

_NO_DIRECTIVES = (("`default_nettype none\n", ""), ("`default_nettype wire\n", ""))
_RECOVERY = """\
	if(1) begin : blkRecoveryWatch
		logic  Dirty = 1;
		initial begin
			#100ns;
			Dirty <= 0;
		end

		always_ff @(posedge clk) begin
			assert(!Dirty || rst || !en || zero) else begin
				$warning("%m: Feeding input during DSP startup recovery. Expect functional errors.");
			end
		end
	end : blkRecoveryWatch
"""

FOR_YOSYS: tuple[FixUp, ...] = (
    *(
        FixUp(file, "a directive may not stand within a module", _NO_DIRECTIVES)
        for file in ("fifo.sv", "vpc.sv")
    ),
    FixUp(
        "mvu.sv",
        "a clock edge with a condition, and a delay, are refused; both are of assertions only",
        ((" iff en && !rst", ""), (_RECOVERY, "")),
    ),
    FixUp(
        "thresholding.sv",
        "a part select of no bits, as it is in the first stage, is refused; a shift gives the same bits",
        (("p.ptr[M-1:SN+1] <", "(p.ptr >> (SN+1)) <"),),
    ),
    FixUp(
        "skid.sv",
        "a message that lacks what it is to print is refused",
        (("Requested number of %0d FEED_STAGES", "Requested number of FEED_STAGES"),),
    ),
)


def check_version() -> None:
    """Raise `LoweringError` where FINN is not of the version that the changes are for."""
    found = metadata.version(PACKAGE)
    if found != VERSION:
        raise LoweringError(
            f"{PACKAGE} {found}: its Verilog is known as of {VERSION}; pip install -r requirements.lock"
        )


def fixed(files: Mapping[str, str], fixups: Sequence[FixUp] = FIXUPS) -> dict[str, str]:
    """The files, by name, with every change of `fixups` that is for one of them.

    Raises `LoweringError` where a text to change is not there, or there more than once.
    """
    found = dict(files)
    for fixup in fixups:
        for old, new in fixup.edits if fixup.file in found else ():
            times = found[fixup.file].count(old)
            if times != 1:
                raise LoweringError(
                    f"{fixup.file}: '{old.strip().splitlines()[0]}' is there {times} times, not once,"
                    f" as in {PACKAGE} {VERSION}; install that again"
                )
            found[fixup.file] = found[fixup.file].replace(old, new)
    return found
