"""Random sliding windows."""

from hypothesis import strategies as st

from hw.dataflow import Window


@st.composite
def windows(draw, padded: bool = True, largest: int = 7) -> Window:
    """Any kernel, stride and padding that fit; one row or one column at times."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    high, wide = kernel
    most = st.integers(0, max(kernel) + 1) if draw(st.integers(0, 7)) == 0 else st.integers(0, 2)
    padding = tuple(draw(most) if padded else 0 for _ in range(4))
    height = draw(st.integers(max(1, high - padding[0] - padding[2]), high + largest))
    width = draw(st.integers(max(1, wide - padding[1] - padding[3]), wide + largest))
    lanes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    form = draw(st.sampled_from(["plain", "rows", "depthwise"]))
    return Window(
        "window",
        (height, width, lanes * groups),
        kernel,
        lanes,
        stride,
        padding,
        rows=high if form == "rows" else 1,
        repeats=1 if form == "depthwise" else draw(st.integers(1, 3)),
        depthwise=form == "depthwise",
        pad_value=draw(st.integers(0, 3)),
    )
