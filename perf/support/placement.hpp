// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace isthmus::perf {

/// Which processors client and host run on, and how near they are to each other: that decides a round trip.
struct Placement {
  int client_cpu = 0;
  int host_cpu = 0;
  std::string relation;  ///< for people: "same L3, different cores", ...
};

/// By --cpus, else the two allowed processors of different cores that are nearest to each other. Found once, at the
/// first call. In a VM, where /sys tells what the hypervisor wants, it is measured whether they share a core.
[[nodiscard]] const Placement& placement();

/// The calling thread runs there from now on, and so do threads and processes that it starts.
void pin_to(int cpu);
/// It runs on all the others, where there are others.
void pin_elsewhere(int than_cpu);
/// Undoes it: all processors that the program was started with.
void unpin();

/// Whether this machine is a VM: then the topology is what the hypervisor tells.
[[nodiscard]] bool in_virtual_machine();
/// "AMD EPYC ..., 2 processors"
[[nodiscard]] std::string processor_name();
[[nodiscard]] std::string kernel_name();

}  // namespace isthmus::perf
