"""Debian's stock cloud kernel, taken out of its package without installing it."""

import fcntl
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "linux-image-cloud-amd64"

# Of the package's modules only these folders' are kept: 5 MB of 90.
KEPT_FOLDERS = ("drivers/char/", "drivers/iommu/", "drivers/uio/", "drivers/vfio/", "drivers/virtio/", "virt/",
                "net/vmw_vsock/")


class KernelError(Exception):
    """No kernel could be had; the text says why and what to do."""


@dataclass(frozen=True)
class Kernel:
    version: str
    image: Path
    modules_folder: Path

    def modules(self, names):
        """The files of these modules and of all they need, in the order to load them."""
        ordered = []
        visiting = set()

        def visit(name):
            name = name.replace("-", "_")
            if name in visiting:
                return
            visiting.add(name)
            path = self.modules_folder / f"{name}.ko"
            if not path.exists():
                raise KernelError(f"module {name}: not among those kept of {PACKAGE} {self.version} in "
                                  f"{self.modules_folder}; add its folder to KEPT_FOLDERS in {__file__} and delete "
                                  f"{self.modules_folder.parent}")
            for needed in _needed_modules(path.read_bytes()):
                visit(needed)
            ordered.append(path)

        for name in names:
            visit(name)
        return ordered


def cache_folder():
    """ISTHMUS_VM_CACHE, or build/vm in the repository."""
    return Path(os.environ.get("ISTHMUS_VM_CACHE") or Path(__file__).resolve().parents[3] / "build" / "vm")


def fetch_kernel(progress=lambda line: None, cache=None):
    """The cached kernel; at first its package is downloaded and taken apart. Delete the folder to get a newer one."""
    cache = Path(cache) if cache else cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may start at once
        kernel = _cached(cache)
        if kernel:
            return kernel
        # An unfinished folder is one that a killed process left.
        for stale in cache.glob("unfinished-*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache) as work:
            package = _download(Path(work), progress)
            progress(f"unpacking {package.name}")
            _unpack(package, Path(work) / "kernel", cache)
        return _cached(cache)


def _cached(cache):
    versions = sorted((path for path in cache.glob("kernel-*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    if not versions:
        return None
    folder = versions[-1]
    return Kernel(folder.name.removeprefix("kernel-"), folder / "vmlinuz", folder / "modules")


def _download(folder, progress):
    errors = []
    # The machine's own package lists first. They may be missing (a trimmed image) or name a kernel that the mirror no
    # longer has: then lists of our own, which needs no root.
    for options, before in (([], []), (_private_lists(folder), ["update"])):
        try:
            if before:
                progress("reading Debian's package lists")
                _apt("apt-get", options + ["-q"] + before, folder)
            name = _versioned_package(_apt("apt-cache", options + ["depends", PACKAGE], folder))
            progress(f"downloading {name}")
            _apt("apt-get", options + ["-q", "download", name], folder)
            packages = list(folder.glob("linux-image-*.deb"))
            if packages:
                return packages[0]
            errors.append(f"apt-get download {name}: wrote no package")
        except KernelError as error:
            errors.append(str(error))
    raise KernelError("; ".join(errors) + f"; check the network and that /etc/apt/sources.list* names a Debian mirror, "
                      f"which has {PACKAGE}")


def _private_lists(folder):
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "archives" / "partial").mkdir(parents=True)
    return ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/archives"]


def _apt(tool, arguments, folder):
    # Root's downloads would be made by user _apt, who may not write here.
    command = [tool, "-o", "APT::Sandbox::User=root", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}, timeout=240)
    except FileNotFoundError:
        raise KernelError(f"{tool}: not found; the kernel comes from a Debian package") from None
    except subprocess.TimeoutExpired:
        raise KernelError(f"{tool} {arguments[-1]}: no end after 240 s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise KernelError(f"{tool} {arguments[-1]}: {last}")
    return done.stdout


def _versioned_package(depends):
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)\b", depends)
    if not found:
        raise KernelError(f"{PACKAGE}: unknown to apt-cache")
    return found.group(1)


def _unpack(package, folder, cache):
    """Keeps the image and the modules that matter; puts them into the cache in one step."""
    modules = folder / "modules"
    modules.mkdir(parents=True)
    version = None
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacker:
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if not member.isfile():
                    continue
                if name.startswith("boot/vmlinuz-"):
                    version = name.removeprefix("boot/vmlinuz-")
                    (folder / "vmlinuz").write_bytes(tar.extractfile(member).read())
                found = re.fullmatch(r"(?:usr/)?lib/modules/[^/]+/kernel/(.*)/([^/]+)\.ko(\.xz)?", name)
                if found and f"{found.group(1)}/".startswith(KEPT_FOLDERS):
                    data = tar.extractfile(member).read()
                    data = lzma.decompress(data) if found.group(3) else data
                    (modules / f"{found.group(2).replace('-', '_')}.ko").write_bytes(data)
    if unpacker.returncode or not version:
        raise KernelError(f"{package.name}: dpkg-deb could not unpack it, or it holds no kernel image")
    folder.rename(cache / f"kernel-{version}")


def _needed_modules(module):
    """A module's own word on what it needs: "depends=a,b" in its section .modinfo."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in found.group(1).decode().split(",") if name] if found else []
