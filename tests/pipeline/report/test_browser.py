"""The page as a browser lays it out."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.report.render import render

from .sample import write_folder

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=5000",
    "--dump-dom",
)

# The page in a frame of the given width, so that a script outside of it can measure it.
HARNESS = """<!DOCTYPE html><body><pre id="found"></pre>
<iframe id="frame" width="{width}" height="2000" style="border:0" srcdoc="{page}"></iframe>
<script>
document.getElementById("frame").onload = event => {{
  const page = event.target.contentDocument, root = page.documentElement;
  document.getElementById("found").textContent = JSON.stringify({{
    width: root.clientWidth, content: root.scrollWidth, height: root.scrollHeight,
    plots: [...page.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().width),
  }});
  event.target.remove();
}};
</script></body>
"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [420, 800, 1400])
def test_fits_its_window(tmp_path: Path, width: int) -> None:
    assert BROWSER is not None
    page = html.escape(render(write_folder(tmp_path / "out")))
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.format(width=width, page=page))
    done = subprocess.run(
        [
            BROWSER,
            *OPTIONS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1500,2000",
            harness.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    match = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout)
    assert match, done.stderr[-2000:]
    found = json.loads(html.unescape(match[1]))
    assert width - 30 <= found["width"] <= width
    assert found["content"] <= found["width"]
    assert 2000 < found["height"] < 12000
    assert len(found["plots"]) == 6
    assert all(200 < plot <= width for plot in found["plots"])
