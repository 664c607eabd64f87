"""A pytest plug-in: says on a descriptor, line by line, which case begins and how it went. See run_conformance."""

import os

_out = os.fdopen(int(os.environ["CASE_REPORTER_FD"]), "w", buffering=1)
_outcomes = {}


def pytest_collection_finish(session):
    for item in session.items:
        _out.write(f"case {item.nodeid}\n")
    _out.write("collected\n")


def pytest_runtest_logstart(nodeid):
    _out.write(f"begin {nodeid}\n")


def pytest_runtest_logreport(report):
    # An expected failure is reported as skipped, an unexpected success as passed or failed.
    order = ("passed", "skipped", "failed")
    before = _outcomes.get(report.nodeid, "passed")
    _outcomes[report.nodeid] = max(before, report.outcome, key=order.index)


def pytest_runtest_logfinish(nodeid):
    _out.write(f"end {nodeid} {_outcomes.get(nodeid, 'failed')}\n")
