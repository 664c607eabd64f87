"""The guest's file system: busybox, the agent, the kernel modules, and what the caller adds."""

import os
import re
import stat
import subprocess
from pathlib import Path

BUSYBOX = Path("/bin/busybox")


class InitramfsError(Exception):
    """A file for the guest is missing or unfit; the text says which."""


class Initramfs:
    """A cpio archive ("newc") written by hand: device nodes need no root, and two equal inputs give equal bytes."""

    def __init__(self):
        self._chunks = []
        self._names = set()

    def folder(self, name, mode=0o755):
        name = name.strip("/")
        if name and name not in self._names:
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self._parent(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._parent(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor):
        self._parent(name)
        self._entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def copy(self, source, name):
        """A file, with its mode and, where it is a dynamic program, the libraries it loads; or a folder."""
        source = Path(source)
        if source.is_dir():
            self.folder(name)
            for child in sorted(source.iterdir()):
                self.copy(child, f"{name}/{child.name}")
            return
        try:
            data = source.read_bytes()
            mode = stat.S_IMODE(source.stat().st_mode)
        except OSError as error:
            raise InitramfsError(f"{source}: cannot be copied to {name} in the guest: {error.strerror}; "
                                 "is it built?") from None
        self.file(name, data, mode)
        if data.startswith(b"\x7fELF"):
            for library in _libraries(source):
                if library.strip("/") not in self._names:
                    self.file(library, Path(library).read_bytes(), 0o755)

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self._chunks)

    def _parent(self, name):
        self.folder(os.path.dirname(name.strip("/")))

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        if name in self._names:
            raise InitramfsError(f"/{name}: two files of the guest have this name")
        self._names.add(name)
        path = name.encode() + b"\0"
        fields = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._chunks += [_padded(header + path), _padded(data)]


def build(agent, modules, magic, ports, copies):
    """The archive's bytes. copies: pairs of host path and guest path."""
    if not BUSYBOX.exists():
        raise InitramfsError(f"{BUSYBOX}: not found; install busybox-static")
    archive = Initramfs()
    for name in ("proc", "sys", "tmp", "run", "dev"):
        archive.folder(name)
    archive.folder("root", 0o700)
    archive.character_device("dev/console", 5, 1)
    archive.copy(agent, "init")
    archive.copy(BUSYBOX, "bin/busybox")
    for applet in subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    settings = [f"magic {magic}"] + [f"module /lib/modules/{path.name}" for path in modules]
    settings += [f"port {name}" for name in ports]
    archive.file("etc/vm_settings", ("\n".join(settings) + "\n").encode())
    for path in modules:
        archive.file(f"lib/modules/{path.name}", path.read_bytes())
    for source, name in copies:
        archive.copy(source, name)
    return archive.bytes()


def _padded(data):
    return data + b"\0" * (-len(data) % 4)


def _libraries(program):
    """Absolute paths of the interpreter and libraries; none for a static program (or a kernel module)."""
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if "not found" in listed.stdout:
        missing = [line.split()[0] for line in listed.stdout.splitlines() if "not found" in line]
        raise InitramfsError(f"{program}: needs {', '.join(missing)}, which ldd does not find")
    return re.findall(r"(/\S+) \(0x", listed.stdout) if listed.returncode == 0 else []
