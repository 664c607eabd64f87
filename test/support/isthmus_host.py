"""Runs isthmusd for tests and the demo, with regions and sockets of its own, and leaves nothing behind."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1

# Seconds for what has to come but is no test of time: a machine that is slow, or stalls, fails none.
PATIENCE = 120
# The same for isthmus-probe, whose own limit is a client's that does not wait for the start of a worker.
PROBE_PATIENCE = ("--timeout", str(1000 * PATIENCE))


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def folder_with(test, *files):
    """A folder that workers of any user may read, with copies of these."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-"))
    test.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    for file in files:
        shutil.copy(file, folder / file.name)
        (folder / file.name).chmod(0o755)
    return folder


def in_time(test, seconds, attempt, tries=5):
    """attempt(), which returns how many seconds it took, takes less than these. A machine that stalls now and then does
    not do so each time: what takes too long is tried again."""
    took = attempt()
    while took >= seconds and tries > 1:
        tries -= 1
        took = min(took, attempt())
    test.assertLess(took, seconds)


def beyond(control, act):
    """How many seconds longer act() takes than control(), which does what act() cannot do without; and its result."""
    began = time.monotonic()
    control()
    between = time.monotonic()
    result = act()
    return (time.monotonic() - between) - (between - began), result


def wait_until(condition, seconds=PATIENCE):
    """Whether the condition holds within so many seconds; returns as soon as it does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class DaemonError(Exception):
    """isthmusd did not do what was asked; the text carries its log."""


class Daemon:
    """isthmusd with a configuration made from `vms` and `shms`: lists of dicts of the keys in docs/isthmusd.md.

    `path` of a vm and `runtime_dir` are filled in where missing; `settings` are keys of the file itself. Plug-ins are
    files that are copied to where any user can read them. With `prefix`, an installed isthmusd runs, and finds worker
    and plug-ins by itself. Use by `with`; start() returns once it serves. `has_warm_workers`: an entry asks for some.
    """

    def __init__(self, build, *, vms=(), shms=(), event_loop="auto", wrapper=(), settings=None, plugins=(), prefix=None):
        self.folder = Path(tempfile.mkdtemp(prefix="isthmus-"))
        self.runtime_dir = self.folder / "run"
        self._program = Path(prefix) / "sbin/isthmusd" if prefix else Path(build) / "host/daemon/isthmusd"
        self._worker = Path(build) / "host/worker/isthmus-worker"
        self._wrapper = list(wrapper)
        self.has_warm_workers = any(entry.get("warm_workers", 0) > 0 for entry in (*vms, *shms))
        self.vms = [dict(vm) for vm in vms]
        for vm in self.vms:
            vm.setdefault("path", f"/dev/shm/{self.folder.name}-{vm['name']}")
        self.config = self.folder / "isthmusd.toml"
        settings = {"event_loop": event_loop, **({} if prefix else {"worker": str(self._worker)}), **(settings or {})}
        if plugins:
            settings["plugin_dir"] = str(self._copy_plugins(plugins))
            settings.setdefault("cache_dir", str(self.folder / "cache"))
        self.config.write_text(self._toml(shms, settings))
        self.process = None
        self._lines = []
        self._changed = threading.Condition()
        self._reader = None

    def _copy_plugins(self, plugins):
        self.folder.chmod(0o755)
        folder = self.folder / "plugins"
        folder.mkdir(mode=0o755)
        for plugin in plugins:
            shutil.copyfile(plugin, folder / Path(plugin).name)
            (folder / Path(plugin).name).chmod(0o644)
        return folder

    def _toml(self, shms, settings):
        lines = [f'runtime_dir = "{self.runtime_dir}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        for kind, entries in (("vm", self.vms), ("shm", shms)):
            for entry in entries:
                lines.append(f"[[{kind}]]")
                lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
        return "\n".join(lines) + "\n"

    @property
    def environment(self):
        """For clients of shm: endpoints."""
        return {**os.environ, "ISTHMUS_RUNTIME_DIR": str(self.runtime_dir)}

    @property
    def log(self):
        with self._changed:
            return "".join(self._lines)

    def launch(self):
        """Starts the program, with an empty log, without waiting for anything."""
        self._lines = []
        self.process = subprocess.Popen([*self._wrapper, self._program, "--config", self.config],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, preexec_fn=_die_with_parent)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def start(self, timeout=PATIENCE):
        self.launch()
        self.wait_for("isthmusd serves", timeout)
        return self

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, pattern, timeout=PATIENCE, since=0):
        """Waits until a line of the log, from character `since` on, matches; returns the match."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = re.search(pattern, "".join(self._lines)[since:])
                if found:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise DaemonError(f"isthmusd: no line matches '{pattern}'; its log:\n{''.join(self._lines)}")
                self._changed.wait(min(left, 0.2))

    def worker_pids(self):
        """The daemon's children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self, timeout=PATIENCE):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise DaemonError(f"isthmusd: did not end within {timeout} s of SIGTERM; its log:\n{self.log}") from None
        self._close_log()
        return status

    def _close_log(self):
        self._reader.join(PATIENCE)
        self.process.stderr.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._close_log()

    def clean(self):
        """Removes what a killed daemon left."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for vm in self.vms:
            Path(vm["path"]).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.clean()
            raise

    def __exit__(self, *_):
        try:
            if self.process.poll() is None:
                self.stop()
        finally:
            self.clean()
