# SPDX-License-Identifier: BSD-3-Clause
import os
import pathlib
import shutil
import smtplib
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tools/lib"), str(TOP / "tests/corpus")]

import penstock_run as run  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures what passes in a time; tools/test runs it beside nothing else")
    config.addinivalue_line("markers", "long: takes over ten seconds, so it starts among the first")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        # What each worker has of the ports below those that the kernel gives out.
        first = 12000 + int(worker.removeprefix("gw")) * 2000
        run.ports = range(first, first + 2000)
        run.hugepages = "no"


def pytest_collection_modifyitems(items):
    """What takes long goes first, so that no worker has it left when the others have ended."""
    items.sort(key=lambda item: not {"long", "xdist_group"} & {mark.name for mark in item.iter_markers()})


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.failed = True


@pytest.fixture(scope="session")
def build():
    return pathlib.Path(os.environ.get("PENSTOCK_BUILD", TOP / "build-test")).resolve()


@pytest.fixture
def folder(request):
    """A fresh folder; kept when the test fails so that the logs can be read."""
    path = run.work_dir("penstock-test-")
    yield path
    if getattr(request.node, "failed", False):
        print(f"the logs are in {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def module_folder(request):
    """The same for all tests of a file."""
    path = run.work_dir("penstock-test-")
    failed = request.session.testsfailed
    yield path
    if request.session.testsfailed > failed:
        print(f"the logs are in {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def closing():
    """closing(x) returns x and closes or stops it at the end, last one first."""
    things = []

    def add(thing):
        things.append(thing)
        return thing

    add.things = things
    yield add
    first = None
    for thing in reversed(things):
        try:
            (thing.close if hasattr(thing, "close") else thing.stop)()
        except Exception as fault:  # the others have to end too
            first = first or fault
    if first is not None:
        raise first


@pytest.fixture
def pair(build, folder, closing):
    """pair(sink options, parameters of main.cf) starts a sink and a gateway that relays to it over a memif."""

    def start(*options, **settings):
        memif = folder / "memif.sock"
        sink = closing(run.Sink(build, folder, memif, *options))
        gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", **settings}))
        return sink, gateway

    return start


@pytest.fixture
def submit():
    """submit(gateway, text) sends one message with Python's SMTP client."""

    def send(gateway, text="Subject: hello\r\n\r\nx\r\n", sender="s@bulk.example", recipients=("r@example.test",)):
        with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:
            return client.sendmail(sender, list(recipients), text)

    return send
