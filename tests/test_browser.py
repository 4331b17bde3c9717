"""A lesson in a real JupyterLab, driven by a real browser: cells run, a moved slider changes the picture."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from calibration import patience

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LIVE = [
    path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if "LivePicture(" in path.read_text(encoding="utf-8")
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

SMALL = """
import numpy as np
from course_utils.teaching.widgets import LivePicture

def draw(level=100):
    return np.full((40, 60), level / 255)

LivePicture(draw, alt="A gray sheet.", level=(0, 255))
"""

# What JupyterLab asks the network for, and cells that are built only when scrolled to, are of no use here.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false"},
    "notebook-extension/tracker": {"windowingMode": "none"},
}

# `evaluate` has no timeout of its own.
RUN_ALL = """async (seconds) => {
    const late = new Promise((_, fail) => setTimeout(fail, 1000 * seconds, `not finished in ${seconds} s`));
    return Promise.race([late, run()]);
    async function run() {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    await window.jupyterapp.commands.execute("notebook:run-all-cells");
    const cells = panel.content.model.toJSON().cells.filter(cell => cell.cell_type === "code");
    return cells.map(cell => ({count: cell.execution_count, outputs: cell.outputs}));
    }
}"""

# A closed page leaves its kernel running, with all that the lesson has loaded.
SHUT_DOWN = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on this machine alone, behind a token, in a folder of copies."""
    home = tmp_path_factory.mktemp("lab")
    for name, settings in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    work = home / "work"
    work.mkdir()
    cell = nbformat.v4.new_code_cell(SMALL.strip())
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), work / "small.ipynb")
    for path in LIVE:
        shutil.copy(path, work)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={work}"),
        *(f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"),
    ]
    environment = {
        **os.environ,
        "COURSE_BACKBONE": "efficientnet_lite0",
        "COURSE_DEVICE": "cpu",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server)
        yield lambda name: f"http://127.0.0.1:{port}/lab/tree/{name}?token={token}&reset"
    finally:
        server.terminate()
        try:
            server.wait(timeout=patience(10))
        finally:
            server.kill()


def wait_for(address, server):
    deadline = time.monotonic() + patience(20)
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=patience(5)):
                return
        except OSError:
            assert server.poll() is None, "JupyterLab ended before it answered"
            time.sleep(0.2)
    pytest.fail("JupyterLab did not answer")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=1000 * patience(20)
        )
        yield chromium
        chromium.close()


@pytest.mark.parametrize("name", ["small.ipynb", *(path.name for path in LIVE)])
def test_all_cells_run_and_a_slider_moved_by_key_changes_the_picture(lab, browser, name):
    page = browser.new_page()
    page.set_default_timeout(1000 * patience(20))
    page.goto(lab(name))
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext")
    cells = page.evaluate(RUN_ALL, patience(60))
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"] == []

    image = page.locator(".jupyter-widgets figure img").first
    before = image.get_attribute("src")
    handle = page.locator(".noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('.jupyter-widgets figure img').src !== before", arg=before
    )
    page.wait_for_function("document.querySelector('.jupyter-widgets figure img').naturalWidth > 0")
    assert image.get_attribute("alt")
    page.evaluate(SHUT_DOWN)
    page.close()
