"""Runs programs in a real virtual machine: Debian's stock cloud kernel in unmodified QEMU.

    from isthmus_vm import Region, Vm

    with Vm(regions=[Region("/dev/shm/x", "64M")], copy=["build/dev/guest/prog:/bin/prog"]) as vm:
        result = vm.run(["/bin/prog", "--all"], timeout=30)
        assert result.status == 0, result.output

docs/vm-harness.md has the rest.
"""

from .kernel import KernelError, fetch_kernel
from .machine import Command, Region, Result, Vm, VmDied, VmError, VmTimeout

__all__ = ["Command", "KernelError", "Region", "Result", "Vm", "VmDied", "VmError", "VmTimeout", "fetch_kernel"]
