# SPDX-License-Identifier: BSD-3-Clause
import os
import pathlib
import shutil
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tools/lib"), str(TOP / "tests/corpus")]

import penstock_run as run  # noqa: E402


@pytest.fixture
def build():
    return pathlib.Path(os.environ.get("PENSTOCK_BUILD", TOP / "build-test")).resolve()


@pytest.fixture
def folder():
    """A fresh folder; kept when the test fails so that the logs can be read."""
    path = run.work_dir("penstock-test-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def closing():
    """closing(x) returns x and closes or stops it at the end, last one first."""
    things = []

    def add(thing):
        things.append(thing)
        return thing

    yield add
    for thing in reversed(things):
        (thing.close if hasattr(thing, "close") else thing.stop)()
