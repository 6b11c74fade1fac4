"""How a sliding window walks over its line buffer, and how deep the buffer has to be.

Addresses are places of words in the stream of all frames; places in the padding are counted as if the frame
went on there, so that every step of the walk is a constant. Each step belongs to one of some nested loops.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from hw.dataflow.spatial import Window


@dataclass(frozen=True)
class Loop:
    """One of nested loops: it goes `count` times around, `stride` words further each time."""

    name: str
    count: int
    stride: int

    @property
    def span(self) -> int:
        """Words from its first place to its last."""
        return (self.count - 1) * self.stride


def jumps(loops: Sequence[Loop], frame: int) -> tuple[int, ...]:
    """The step from the last place of the loops within to the next one of each loop, innermost first.

    The last step goes to the first place in the next frame, `frame` words further.
    """
    behind = [0, *accumulate(loop.span for loop in loops)]
    strides = [*(loop.stride for loop in loops), frame]
    return tuple(stride - back for stride, back in zip(strides, behind, strict=True))


def _greatest_rise(slopes: Sequence[int], counts: Sequence[int]) -> int:
    """The most that a function linear in each of nested loops, innermost first, grows from earlier to later.

    The outermost loop is endless and does not rise.
    """
    inner, candidates = 0, []
    for slope, count in zip(slopes, counts, strict=True):
        if count > 1:
            candidates.append((slope if slope < 0 else slope * (count - 1)) + inner)
        inner += abs(slope) * (count - 1)
    return max(candidates)


@dataclass(frozen=True)
class LineBuffer:
    """The walk of a `Window` and its circular buffer, in words of `lanes` channels."""

    window: Window

    @property
    def pixel(self) -> int:
        """Words of a pixel."""
        return self.window.shape[2] // self.window.lanes

    @property
    def row(self) -> int:
        """Words of a row of the frame."""
        return self.window.shape[1] * self.pixel

    @property
    def frame(self) -> int:
        """Words of a frame."""
        return self.window.shape[0] * self.row

    @property
    def taps(self) -> tuple[Loop, ...]:
        """The loops within a window, innermost first; "column" and "row" tell a tap's place in the kernel.

        With all rows in a word there is no loop of rows: a place is that of the last row's word.
        """
        (high, wide), layer = self.window.kernel, self.window
        rows = (Loop("row", high, self.row),) if layer.rows == 1 else ()
        if layer.depthwise:
            return (Loop("column", wide, self.pixel), *rows, Loop("group", self.pixel, 1))
        return (Loop("column", wide * self.pixel, 1), *rows, Loop("turn", layer.repeats, 0))

    @property
    def windows(self) -> tuple[Loop, ...]:
        """The loops over a frame's windows, innermost first."""
        (high, wide, _), (down, across) = self.window.o_shape, self.window.stride
        return (Loop("x", wide, across * self.pixel), Loop("y", high, down * self.row))

    @property
    def column_words(self) -> int:
        """Steps of the loop "column" in a column of the kernel."""
        return 1 if self.window.depthwise else self.pixel

    @property
    def below(self) -> int:
        """Words from the first kernel row to the row of the place that is read."""
        return self.row * (self.window.kernel[0] - 1) if self.window.rows > 1 else 0

    @property
    def start(self) -> int:
        """Place of the first window's first tap: before the frame where there is padding."""
        return -self.window.padding[0] * self.row - self.window.padding[1] * self.pixel

    @property
    def extent(self) -> int:
        """Words from a window's first tap to its last, both counted."""
        return 1 + self.below + sum(loop.span for loop in self.taps)

    @cached_property
    def releases(self) -> tuple[tuple[int, int, int], int]:
        """Words freed after a window, the last of a row, the last of a frame; and words held too long.

        The bound of what is free follows the windows' first taps, unless these go backwards somewhere, as
        they do where the padding is wider than the kernel less a pixel: then row by row, or frame by frame.
        """
        (x, y), lag = self.windows, 0
        for step, down in ((x.stride, y.stride), (0, y.stride), (0, 0)):
            lag = x.span * (step == 0) + y.span * (down == 0)
            loops = (Loop("x", x.count, step), Loop("y", y.count, down))
            after, after_row, after_frame = jumps(loops, self.frame)
            if min(after, after_row, after_frame) >= 0:
                break
        return (after, after_row, after_frame), lag

    @cached_property
    def depth(self) -> int:
        """The least words at which the interval is `Window.cycles`, padding counted as words.

        A window takes `reads` cycles, and a word can be used the cycle after it came, its place the cycle
        after it was freed. Let `lead` be the most by which a tap's place is ahead of the reads in its window,
        and f(w) = place of window w - reads * w. Where reading is the slower side it must never wait for a
        word; the longest wait begins at the release after a window v and ends at a tap of a window w:
        depth >= reads + 1 + lead + max(f(w) - f(v)) over v < w; and a window must fit. Where writing is, it
        must never wait for a place; from a tap of w to the release after v: depth >= reads + 1 + lead +
        max(f(w) - f(v)) over w <= v. Both maxima have closed forms, for f is linear in each loop.
        """
        reads, lead, inner = 1, self.below, 1
        for loop in self.taps:
            lead += (loop.count - 1) * max(0, loop.stride - inner)
            inner *= loop.count
            reads *= loop.count
        (x, y), out = self.windows, reads * self.window.vectors
        slopes = (x.stride - reads, y.stride - reads * x.count, self.frame - out)
        counts, needed = (x.count, y.count, 2), []
        if out >= self.frame:
            needed.append(max(self.extent, reads + 1 + lead + _greatest_rise(slopes, counts)))
        if self.frame >= out:
            falls = _greatest_rise([-slope for slope in slopes], counts)
            needed.append(reads + 1 + lead + max(0, falls))
        return min(needed) + self.releases[1]

    def banks_for(self, depth: int) -> tuple[int, ...]:
        """Words, a power of two, of the RAM of each row in a word when `depth` words are held in all.

        Lower rows are read sooner after they came, so that their RAMs can be smaller.
        """
        rows = self.window.rows
        held = [depth - (self.row * row if rows > 1 else 0) for row in range(rows)]
        return tuple(1 << max(1, (words - 1).bit_length()) for words in held)

    @property
    def banks(self) -> tuple[int, ...]:
        """Words of each RAM at the least depth, each word of `lanes` values."""
        return self.banks_for(self.depth)

    def capacity(self, banks: Sequence[int]) -> int:
        """Words held in all by RAMs of these sizes: the inverse of `banks_for`."""
        step = self.row if self.window.rows > 1 else 0
        return min(words + step * row for row, words in enumerate(banks))

    @property
    def reach(self) -> int:
        """The most words by which a place that is read, or a release, is ahead of the words that came.

        A window in the padding alone waits for nothing; where there are such, the walk runs further ahead.
        """
        (after, after_row, after_frame), lag = self.releases
        (top, left, bottom, right), (high, wide) = self.window.padding, self.window.kernel
        ahead = max(after, after_row, after_frame) + lag + self.extent
        if max(top, bottom) >= high or max(left, right) >= wide:
            ahead += 2 * self.frame + (top + bottom) * self.row + (left + right) * self.pixel
        return ahead
