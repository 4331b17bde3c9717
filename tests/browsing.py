"""A real JupyterLab and a real browser, for tests of what lessons show.

The fixtures `lab` and `browser` are known to every test through `conftest.py`.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from calibration import patience

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_TEST = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

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

ASK_KERNEL = """async (code) => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({code});
    let printed = "";
    future.onIOPub = message => { printed += message.content.text ?? message.content.evalue ?? ""; };
    await future.done;
    return printed.trim();
}"""

# To be waited for: what is still being loaded takes the focus away again.
SELECT = """id => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.findIndex(cell => cell.model.id === id);
    notebook.mode = "command";
    notebook.activate();
    return document.activeElement === notebook.activeCell?.node;
}"""

# A closed page leaves its kernel running, with all that the lesson has loaded.
SHUT_DOWN = "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"


class Lab:
    """The folder and the address of a JupyterLab."""

    def __init__(self, work: Path, port: int, token: str) -> None:
        self.work, self.port, self.token = work, port, token

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook of code cells."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        code = [nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
        nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=kernel), self.work / name)

    def open(self, browser, name: str, **options):
        """Return a page that shows a notebook; `options` are those of Playwright's `new_page`."""
        page = browser.new_page(**options)
        page.set_default_timeout(1000 * patience(20))
        page.goto(f"http://127.0.0.1:{self.port}/lab/tree/{name}?token={self.token}&reset")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext")
        return page


def run_all(page) -> None:
    """Run every cell, and find no error."""
    cells = page.evaluate(RUN_ALL, patience(60))
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"] == []


def ask_kernel(page, code: str) -> str:
    """Run code in the notebook's kernel and return what it prints."""
    return page.evaluate(ASK_KERNEL, code)


def close(page) -> None:
    """Close a page and its kernel."""
    page.evaluate(SHUT_DOWN)
    page.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab on this machine alone, behind a token, in an empty folder."""
    home = tmp_path_factory.mktemp("lab")
    for name, settings in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    work = home / "work"
    work.mkdir()
    with serving(home, work, "-m", "jupyterlab", "--allow-root", f"--ServerApp.root_dir={work}") as server:
        yield server


@contextlib.contextmanager
def serving(home: Path, work: Path, *command: str):
    """Run a command that starts JupyterLab; yield it as a `Lab` once it answers, and stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    options = [
        *("--no-browser", f"--port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"),
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
        server = subprocess.Popen(
            [sys.executable, *command, *options],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,  # `course lab` has JupyterLab as its child
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server)
        yield Lab(work, port, token)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=patience(10))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


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


# Of a module, not of the session: while it runs there is an event loop, in which nbclient would not run.
@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=1000 * patience(20)
        )
        yield chromium
        chromium.close()
