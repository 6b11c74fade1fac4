"""`core.v` in Icarus Verilog under a testbench of a few lines: starts at once, so that many can be tried."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw.core import CoreDesign

TESTBENCH = """
module bench;
  reg clk = 0, rst = 1, offering = 0;
  reg [{i_bits}-1:0] words [0:{i_words}-1];
  integer taken = 0, given = 0, cycle = 0, quiet = 0, seed = {seed};
  wire s_ready, m_valid;
  wire [{o_bits}-1:0] m_data;
  wire [{i_bits}-1:0] s_data = offering ? words[taken] : {{{i_bits}{{1'bx}}}};
  reg m_ready = 0;
  core core(.clk(clk), .rst(rst), .s_axis_tdata(s_data), .s_axis_tvalid(offering), .s_axis_tready(s_ready),
            .m_axis_tdata(m_data), .m_axis_tvalid(m_valid), .m_axis_tready(m_ready));
  initial $readmemh("words.hex", words);
  always #5 clk = ~clk;
  always @(negedge clk) begin
    if (cycle == 2) rst = 0;
    if (cycle >= 2) begin
      if (!offering && taken < {i_words}) offering = $unsigned($random(seed)) % 100 >= {stall};
      m_ready = $unsigned($random(seed)) % 100 >= {stall};
    end
    cycle = cycle + 1;
  end
  // Just before the rising edge all is settled.
  always @(negedge clk) #4 if (!rst) begin
    quiet = quiet + 1;
    if (m_valid && m_ready) begin
      $display("%0d %h", cycle, m_data);
      given = given + 1;
      quiet = 0;
    end
    if (offering && s_ready) begin
      #2 offering = 0;
      taken = taken + 1;
      quiet = 0;
    end
    if (given == {o_words} || quiet == 100000) $finish;
  end
endmodule
"""


@dataclass(frozen=True)
class Run:
    """Outputs `(frames, outputs)` and the cycle of each frame's last word."""

    outputs: NDArray[np.int64]
    last_out: NDArray[np.int64]

    @property
    def interval(self) -> int:
        """Cycles between frames once the buffers are full."""
        steps = np.diff(self.last_out)
        return int(steps[len(steps) // 2 :].max())


def run_core(
    design: CoreDesign, frames: NDArray[np.uint8], work: Path, *, stall_percent: int = 0, seed: int = 0
) -> Run:
    """Compile and stream; a core that warns, halts or gives an unknown bit is a failed assertion."""
    i_format, o_format = design.interface.input, design.interface.output
    raw = np.frombuffer(i_format.to_bytes(frames), np.uint8).reshape(-1, i_format.word_bits // 8)
    (work / "words.hex").write_text("\n".join(bytes(word[::-1]).hex() for word in raw))
    (work / "core.v").write_text(design.verilog)
    o_words = len(frames) * o_format.words
    (work / "bench.v").write_text(
        TESTBENCH.format(
            i_bits=i_format.word_bits,
            o_bits=o_format.word_bits,
            i_words=len(raw),
            o_words=o_words,
            seed=seed,
            stall=stall_percent,
        )
    )
    compiled = subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", "bench", "-o", "bench", "bench.v", "core.v"],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in compiled.stderr.splitlines() if not line.startswith("bench.v")]
    assert compiled.returncode == 0 and not complaints, compiled.stderr
    printed = subprocess.run(["vvp", "bench"], cwd=work, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in printed.splitlines() if "$finish" not in line]
    assert len(rows) == o_words, f"halted after {len(rows)} of {o_words} words"
    data = b"".join(bytes.fromhex(word)[::-1] for _, word in rows)
    cycles = np.array([int(cycle) for cycle, _ in rows]).reshape(len(frames), -1)
    return Run(o_format.from_bytes(data).reshape(len(frames), -1).astype(np.int64), cycles[:, -1])
