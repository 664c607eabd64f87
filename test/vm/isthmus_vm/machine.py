"""The virtual machine: QEMU's process, the channel to the guest's agent, and QEMU's own control channel (QMP).

Nothing here has a name outside the process: sockets are pairs, the initramfs is a memfd. So there is nothing to clean
up but QEMU itself, and the kernel kills that with us (PR_SET_PDEATHSIG), whatever ends this process.
"""

import ctypes
import json
import os
import re
import secrets
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import initramfs
from .kernel import KernelError, fetch_kernel

_HEADER = struct.Struct("<8sQIIQ")  # magic, session, job, type, length; agent.cpp has the other end
_RUN, _SIGNAL = 1, 2
_HELLO, _STDOUT, _STDERR, _EXIT = 1, 2, 3, 4

_CONSOLE_KEPT = 64 * 1024
_PATIENCE = 180  # seconds for a boot or a command, on a slow machine, too
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class VmError(Exception):
    """The machine cannot be started or does not answer; the text says why."""


class VmTimeout(VmError):
    """What was waited for did not come in time."""


class VmDied(VmError):
    """QEMU ended, or the guest was reset, while something was waited for."""


@dataclass(frozen=True)
class Region:
    """An ivshmem-plain device over a file; `size` in bytes or as QEMU writes it ("64M")."""

    path: str
    size: int | str


@dataclass(frozen=True)
class Result:
    """How a guest command ended: `status` as a shell counts (128 + signal); `output` is both streams as they came."""

    status: int
    stdout: str
    stderr: str
    output: str


class Command:
    """A command that runs, or ran, in the guest. Made by Vm.spawn."""

    def __init__(self, vm, job, text, live):
        self._vm = vm
        self._job = job
        self._live = live
        self._chunks = []  # (stream, bytes) in the order of arrival
        self._searched = 0  # wait_for_line has seen this much of the output
        self._failure = None
        self._status = None
        self.text = text

    @property
    def status(self):
        """The exit status, None while the command runs."""
        return self._status

    @property
    def output(self):
        """What it wrote so far, stdout and stderr together."""
        with self._vm._changed:
            return self._joined(_STDOUT, _STDERR)

    def wait(self, timeout=_PATIENCE):
        """Its Result once it has ended. VmTimeout leaves it running; VmDied where the machine ended or was reset."""
        self._vm._wait(lambda: self._status is not None, timeout, f"command '{self._short()}' has not ended", self)
        with self._vm._changed:
            return Result(self._status, self._joined(_STDOUT), self._joined(_STDERR), self._joined(_STDOUT, _STDERR))

    def wait_for_line(self, pattern, timeout=_PATIENCE):
        """The match of a regular expression in a whole line of output, after the last line so found."""
        compiled = re.compile(pattern)
        found = []

        def search():
            text = self._joined(_STDOUT, _STDERR)
            for line in re.compile(r"[^\n]*\n" if self._status is None else r"[^\n]*\n|[^\n]+$").finditer(
                    text, self._searched):
                match = compiled.search(line.group().rstrip("\n"))
                self._searched = line.end()
                if match:
                    found.append(match)
                    return True
            return self._status is not None

        self._vm._wait(search, timeout, f"command '{self._short()}' has printed no line with '{pattern}'", self)
        if not found:
            raise VmError(f"command '{self._short()}' ended with status {self._status} and printed no line with "
                          f"'{pattern}'; its output:\n{self.output}")
        return found[0]

    def signal(self, number):
        """Sends a signal to the command and its children."""
        self._vm._send(self._job, _SIGNAL, struct.pack("<i", number))

    def kill(self):
        self.signal(signal.SIGKILL)

    def _joined(self, *streams):
        return b"".join(data for stream, data in self._chunks if stream in streams).decode(errors="replace")

    def _short(self):
        return self.text if len(self.text) <= 80 else self.text[:77] + "..."


class Vm:
    """A virtual machine with Debian's stock cloud kernel. Start it by `with` or start(), end it by stop().

    regions     list of Region; region i appears in the guest at PCI address region_address(i)
    copy        files for the guest, "HOST:GUEST" or "HOST" (same path); programs bring their libraries along
    modules     kernel modules to load besides those of the virtio-serial port, e.g. ["vfio-pci"]; in this order
    ports       extra virtio-serial ports, /dev/virtio-ports/NAME in the guest: a list of names, whose host ends are
                sockets in `ports`, or a dict of name to the path of a Unix socket that already listens
    kernel_args more words for the kernel's command line
    qemu_args   more arguments for QEMU
    accel       "tcg" or "kvm"; by default kvm where the processor has it and /dev/kvm opens
    agent       the guest's first process (target vm_agent); found in the build folder by default
    progress    called with a line about every step; console with the bytes of the guest's console

    One thread at a time may use a Vm.
    """

    def __init__(self, *, regions=(), copy=(), modules=(), ports=(), memory="512M", cpus=2, machine="q35",
                 kernel_args="", qemu_args=(), accel=None, agent=None, progress=None, console=None):
        self._regions = list(regions)
        self._copies = [_copy_pair(item) for item in copy]
        self._modules = ["virtio_pci", "virtio_console", *modules]
        self._port_paths = dict(ports) if isinstance(ports, dict) else dict.fromkeys(ports)
        self._memory = str(memory)
        self._cpus = cpus
        self._machine = machine
        self._kernel_args = kernel_args
        self._qemu_args = list(qemu_args)
        self.accel = accel or os.environ.get("ISTHMUS_VM_ACCEL") or _best_accel()
        self._agent = agent
        self._progress = progress or (lambda line: None)
        self._on_console = console or (lambda data: None)

        self._changed = threading.Condition()
        self._process = None
        self._magic = secrets.token_hex(4).encode()
        self._session = None  # what the guest's running boot calls itself; None while it boots
        self._boots = 0
        self._resets = 0
        self._inbox = b""
        self._next_job = 1
        self._jobs = {}
        self._console = b""
        self._errors = b""  # QEMU's own words
        self._qmp_inbox = b""
        self._qmp_answers = {}
        self._qmp_next = 1
        self._paused = False
        self._ended = False
        self._launch_error = None
        self.boot_seconds = None
        self.ports = {}

    # --- life ---

    def start(self, timeout=_PATIENCE):
        """Boots; returns once the guest takes commands."""
        try:
            kernel = fetch_kernel(self._progress)
            modules = kernel.modules(self._modules)
            archive = initramfs.build(self._agent or _find_agent(), modules, self._magic.decode(),
                                      self._port_paths, self._copies)
        except (KernelError, initramfs.InitramfsError) as error:
            raise VmError(str(error)) from None
        self._progress(f"booting Linux {kernel.version} ({self.accel}, {self._cpus} CPUs, {self._memory} memory, "
                       f"ivshmem devices: {len(self._regions)})")
        began = time.monotonic()
        self._launch(kernel, archive)
        try:
            self._wait(lambda: self._session is not None, timeout, "the guest has not come up")
        except VmTimeout as error:
            where = self._where_it_stands()
            self.stop()
            raise VmTimeout(f"{error}\n{where}") from None
        except BaseException:
            self.stop()
            raise
        self.boot_seconds = time.monotonic() - began
        self._progress(f"up after {self.boot_seconds:.1f} s")
        return self

    def stop(self):
        """Ends QEMU; harmless where it has ended or never ran."""
        if self._process is None:
            return
        if self._process.poll() is None:
            if not self._paused:
                self._process.terminate()  # QEMU closes its devices orderly
            try:
                self._process.wait(0 if self._paused else 2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._thread.join(10)
        for port in self.ports.values():
            port.close()

    def kill(self):
        """SIGKILL to QEMU, as if the machine's power failed; returns once it is dead."""
        self._process.kill()
        self.wait_end(10)

    def wait_end(self, timeout=_PATIENCE):
        """QEMU's exit status (negative: signal), once it ended by itself or was killed."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise VmTimeout(f"QEMU has not ended after {timeout:g} s") from None

    def pause(self):
        """SIGSTOP to QEMU: the guest stands still, its devices and sockets stay open."""
        self._process.send_signal(signal.SIGSTOP)
        self._paused = True

    def resume(self):
        self._process.send_signal(signal.SIGCONT)
        self._paused = False

    def reset(self, timeout=_PATIENCE):
        """The machine's reset button; returns once the guest takes commands again. Running commands are lost."""
        with self._changed:
            before = self._boots
        self.qmp("system_reset")
        self.wait_boot(before + 1, timeout)

    def wait_boot(self, number, timeout=_PATIENCE):
        """Returns once the guest has come up `number` times; for guests that reset themselves."""
        self._wait(lambda: self._boots >= number and self._session is not None, timeout,
                   f"the guest has not come up {number} times")

    def __enter__(self):
        return self.start() if self._process is None else self

    def __exit__(self, *_):
        self.stop()

    # --- facts ---

    @property
    def pid(self):
        """QEMU's process."""
        return self._process.pid

    @property
    def boots(self):
        """How often the guest has come up."""
        with self._changed:
            return self._boots

    @property
    def console(self):
        """The end of what the guest's kernel printed."""
        with self._changed:
            return self._console.decode(errors="replace")

    @staticmethod
    def region_address(index):
        """The PCI address of the ivshmem device over regions[index], as the guest writes it."""
        return f"0000:00:{0x10 + index:02x}.0"

    # --- commands ---

    def run(self, command, timeout=_PATIENCE, live=None):
        """Runs a command to its end and gives its Result. Where it takes longer, it is killed and VmTimeout raised."""
        running = self.spawn(command, live)
        try:
            return running.wait(timeout)
        except VmTimeout:
            running.kill()
            raise

    def spawn(self, command, live=None):
        """Starts a command (text for the guest's shell, or a list of words) and gives its Command at once.

        live: True passes its output on to this process's stdout and stderr as it comes; or a function of
        (is_stderr, bytes), called by another thread.
        """
        text = command if isinstance(command, str) else "exec " + shlex.join(command)
        with self._changed:
            job = self._next_job
            self._next_job += 1
            running = Command(self, job, text, _print_live if live is True else live)
            self._jobs[job] = running
        self._send(job, _RUN, text.encode())
        return running

    def qmp(self, command, timeout=_PATIENCE, **arguments):
        """QEMU's answer to a command of its control protocol."""
        with self._changed:
            number = self._qmp_next
            self._qmp_next += 1
        request = {"execute": command, "arguments": arguments, "id": number}
        self._send_all(self._qmp_socket, json.dumps(request).encode() + b"\n")
        self._wait(lambda: number in self._qmp_answers, timeout, f"QEMU has not answered '{command}'")
        with self._changed:
            answer = self._qmp_answers.pop(number)
        if "error" in answer:
            raise VmError(f"QEMU: {command}: {answer['error'].get('desc')}")
        return answer["return"]

    # --- QEMU's process ---

    def _launch(self, kernel, archive):
        control, control_far = socket.socketpair()
        console, console_far = socket.socketpair()
        qmp, qmp_far = socket.socketpair()
        far_ends = [control_far, console_far, qmp_far]
        self._control_socket, self._console_socket, self._qmp_socket = control, console, qmp
        qmp.sendall(b'{"execute": "qmp_capabilities"}\n')  # lies ready for QEMU
        initrd = os.memfd_create("initramfs")
        with open(initrd, "wb", closefd=False) as file:
            file.write(archive)

        arguments = [
            "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-display", "none",
            "-machine", self._machine,
            "-accel", "tcg,thread=multi" if self.accel == "tcg" else self.accel,
            "-cpu", "max" if self.accel == "tcg" else "host",
            "-smp", str(self._cpus), "-m", self._memory,
            "-kernel", str(kernel.image), "-initrd", f"/proc/self/fd/{initrd}",
            "-append", self._kernel_command_line(),
            "-chardev", f"socket,id=console,fd={console_far.fileno()}", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,fd={qmp_far.fileno()}", "-mon", "chardev=qmp,mode=control",
            "-chardev", f"socket,id=control,fd={control_far.fileno()}",
            "-device", "virtio-serial-pci,id=control_bus,addr=4",
            "-device", "virtserialport,bus=control_bus.0,chardev=control,name=isthmus.control",
        ]
        for i, region in enumerate(self._regions):
            arguments += [
                "-object", f"memory-backend-file,id=region{i},share=on,mem-path={_escaped(region.path)},"
                           f"size={region.size}",
                "-device", f"ivshmem-plain,id=ivshmem{i},memdev=region{i},addr={0x10 + i:#x}",
            ]
        if self._port_paths:
            # A bus of its own: the agent's traffic must not slow what a benchmark measures.
            arguments += ["-device", "virtio-serial-pci,id=port_bus,addr=5"]
        for i, (name, path) in enumerate(self._port_paths.items()):
            if path is None:
                self.ports[name], far = socket.socketpair()
                far_ends.append(far)
                backend = f"fd={far.fileno()}"
            else:
                backend = f"path={_escaped(path)}"
            arguments += ["-chardev", f"socket,id=port{i},{backend}",
                          "-device", f"virtserialport,bus=port_bus.0,chardev=port{i},name={name}"]
        arguments += self._qemu_args

        self._errors_pipe, errors_far = os.pipe()
        passed = [initrd, *(end.fileno() for end in far_ends)]
        launched = threading.Event()
        # The death signal comes when the *thread* that started QEMU ends, so a thread that lives as long does it.
        self._thread = threading.Thread(target=self._serve, args=(arguments, passed, errors_far, launched), daemon=True)
        self._thread.start()
        launched.wait()
        for end in far_ends:
            end.close()
        os.close(errors_far)
        os.close(initrd)
        if self._process is None:
            raise VmError(self._launch_error)

    def _kernel_command_line(self):
        # The self-tests of the kernel's ciphers are a tenth of a boot.
        words = ["console=ttyS0", "quiet", "loglevel=4", "panic=-1", "rdinit=/init", "cryptomgr.notests"]
        if self.accel == "tcg":
            # Under TCG the kernel distrusts the TSC, and falls back on a clock that costs 0.9 us a reading instead of
            # 0.07: too slow to time a round trip with.
            words += ["tsc=reliable", "no_timer_check"]
        return " ".join(words + self._kernel_args.split())

    def _serve(self, arguments, passed, errors_far, launched):
        parent = os.getpid()

        def die_with_parent():
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        try:
            # In a session of its own, a terminal's Ctrl-C reaches us alone, and we end QEMU.
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=errors_far, stderr=errors_far,
                                             pass_fds=passed, start_new_session=True, preexec_fn=die_with_parent)
        except FileNotFoundError:
            self._launch_error = f"{arguments[0]}: not found; install qemu-system-x86"
        except (OSError, subprocess.SubprocessError) as error:
            self._launch_error = f"{arguments[0]}: {error}"
        finally:
            launched.set()
        if self._process is None:
            return
        try:
            self._receive_until_end()
        finally:  # also where a caller's function raised: nobody may wait for a thread that is gone
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            with self._changed:
                self._ended = True
                self._session = None
                self._fail_jobs(self._end_reason())
                self._changed.notify_all()

    # --- receiving, in the machine's own thread ---

    def _receive_until_end(self):
        # QMP first: news of a reset must be known before the bytes that the guest sends after it.
        handlers = {self._qmp_socket.fileno(): self._qmp_received,
                    self._control_socket.fileno(): self._control_received,
                    self._console_socket.fileno(): self._console_received,
                    self._errors_pipe: self._errors_received}
        order = list(handlers)
        poll = select.poll()
        for fd in handlers:
            poll.register(fd, select.POLLIN)
        while handlers:
            for fd, _ in sorted(poll.poll(), key=lambda event: order.index(event[0])):
                try:
                    data = os.read(fd, 65536)
                except OSError:  # reset by peer
                    data = b""
                if data:
                    handlers[fd](data)
                else:
                    poll.unregister(fd)
                    del handlers[fd]
        self._process.wait()
        for end in (self._qmp_socket, self._control_socket, self._console_socket):
            end.close()
        os.close(self._errors_pipe)

    # The callers' functions are called without the lock: one that blocks must not keep others from their time limits.

    def _console_received(self, data):
        with self._changed:
            self._console = (self._console + data)[-_CONSOLE_KEPT:]
        self._on_console(data)

    def _errors_received(self, data):
        with self._changed:
            self._errors += data

    def _qmp_received(self, data):
        *lines, self._qmp_inbox = (self._qmp_inbox + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            with self._changed:
                if message.get("event") == "RESET":
                    self._resets += 1
                    self._session = None
                    self._inbox = b""
                    self._fail_jobs("the guest was reset")
                elif "id" in message:
                    self._qmp_answers[message["id"]] = message
                self._changed.notify_all()

    def _control_received(self, data):
        self._inbox += data
        while True:
            begin = self._inbox.find(self._magic)
            if begin < 0:
                self._inbox = self._inbox[-(len(self._magic) - 1):]
                return
            self._inbox = self._inbox[begin:]
            if len(self._inbox) < _HEADER.size:
                return
            _, session, job, kind, length = _HEADER.unpack_from(self._inbox)
            # Only a greeting may change the session; anything else of another one is from before a reset.
            if kind != _HELLO and session != self._session:
                self._inbox = self._inbox[len(self._magic):]
                continue
            if len(self._inbox) < _HEADER.size + length:
                return
            payload = self._inbox[_HEADER.size:_HEADER.size + length]
            self._inbox = self._inbox[_HEADER.size + length:]
            self._frame_received(session, job, kind, payload)

    def _frame_received(self, session, job, kind, payload):
        with self._changed:
            running = self._jobs.get(job)
            if kind == _HELLO:
                self._session = session
                self._boots += 1
            elif running and kind == _EXIT:
                self._jobs.pop(job)._status = struct.unpack("<i", payload)[0]
            elif running:
                running._chunks.append((kind, payload))
            self._changed.notify_all()
        if running and running._live and kind in (_STDOUT, _STDERR):
            running._live(kind == _STDERR, payload)

    def _fail_jobs(self, reason):
        for running in self._jobs.values():
            running._failure = reason
        self._jobs.clear()

    # --- sending and waiting, in the caller's thread ---

    def _send(self, job, kind, payload):
        with self._changed:
            session = self._session
        if session is None:
            raise VmDied(self._end_reason() if self._ended else "the guest is not up")
        self._send_all(self._control_socket, _HEADER.pack(self._magic, session, job, kind, len(payload)) + payload)

    def _send_all(self, end, data):
        try:
            end.sendall(data)
        except OSError:
            # The receiving thread sees the end, too, and knows more about it.
            with self._changed:
                self._changed.wait_for(lambda: self._ended, 2)
                raise VmDied(self._end_reason()) from None

    def _wait(self, condition, timeout, what, command=None):
        met = False

        def over():
            nonlocal met
            met = condition()  # once a look: a condition may take note of what it has seen
            return met or self._ended or (command is not None and command._failure)

        with self._changed:
            self._changed.wait_for(over, timeout)
            if met:
                return
            if command is not None and command._failure:
                raise VmDied(f"{what}: {command._failure}")
            if self._ended:
                raise VmDied(f"{what}: {self._end_reason()}")
            boots = f"; the guest was reset {self._resets} times" if self._resets and self._session is None else ""
            raise VmTimeout(f"{what} after {timeout:g} s{boots}{self._console_tail()}")

    def _where_it_stands(self):
        """Tells a guest that hangs from a QEMU that does."""
        try:
            registers = self.qmp("human-monitor-command", timeout=3, **{"command-line": "info registers -a"})
        except VmError as error:
            return str(error)
        return "QEMU runs; the guest's CPUs stand at " + ", ".join(re.findall(r"RIP=([0-9a-f]+)", registers))

    def _end_reason(self):
        status = self._process.returncode
        killed = status is not None and status < 0
        how = f"was killed by {signal.Signals(-status).name}" if killed else f"ended with status {status}"
        words = self._errors.decode(errors="replace").strip()
        return f"QEMU {how}" + (f": {words}" if words else self._console_tail())

    def _console_tail(self):
        lines = self._console.decode(errors="replace").replace("\r", "").strip().splitlines()[-15:]
        return "".join(["; the end of the guest's console:"] + [f"\n  {line}" for line in lines]) if lines else ""


def _best_accel():
    """KVM only where the processor itself says so: a /dev/kvm on a machine without it opens, and then fails."""
    try:
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if flags and {"vmx", "svm"} & set(flags.group(1).split()):
            os.close(os.open("/dev/kvm", os.O_RDWR))
            return "kvm"
    except OSError:
        pass
    return "tcg"


def _find_agent():
    """The agent of the build named by ISTHMUS_BUILD_DIR, else the newest in build/."""
    if os.environ.get("ISTHMUS_BUILD_DIR"):
        return Path(os.environ["ISTHMUS_BUILD_DIR"]) / "test/vm/vm_agent"
    root = Path(__file__).resolve().parents[3]
    found = sorted(root.glob("build/*/test/vm/vm_agent"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise VmError(f"{root}/build/*/test/vm/vm_agent: not built; type ./run build, or set ISTHMUS_BUILD_DIR")
    return found[-1]


def _copy_pair(item):
    if isinstance(item, tuple):
        return item
    source, _, name = str(item).partition(":")
    return source, name or os.path.abspath(source)


def _escaped(path):
    return str(path).replace(",", ",,")


def _print_live(is_stderr, data):
    stream = sys.stderr if is_stderr else sys.stdout
    try:
        stream.buffer.write(data)
        stream.flush()
    except (OSError, ValueError):
        pass  # whoever read it is gone; the command's status still counts
