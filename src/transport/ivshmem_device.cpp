// SPDX-License-Identifier: Apache-2.0
#include "src/transport/ivshmem_device.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "src/transport/text.hpp"

namespace isthmus {
namespace {

// QEMU, docs/specs/ivshmem-spec: vendor and device id of ivshmem-plain and ivshmem-doorbell; BAR2 is the memory.
constexpr std::string_view ivshmem_vendor = "0x1af4";
constexpr std::string_view ivshmem_device = "0x1110";

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::string> list_devices(const std::string& pci_devices) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(pci_devices.c_str()), closedir);
  if (folder == nullptr) {
    return found;
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): this thread's own stream
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = static_cast<const char*>(entry->d_name);
    const std::string device = text(pci_devices, "/", name);
    if (name.front() != '.' && first_line(device + "/vendor") == ivshmem_vendor &&
        first_line(device + "/device") == ivshmem_device) {
      found.push_back(name);
    }
  }
  std::ranges::sort(found);
  return found;
}

// QEMU's TCG with one virtual processor drops fences and makes locked instructions non-atomic towards other processes
// (seen with 7.2): the transport's memory order would silently not hold.
bool is_single_processor_tcg() {
#if defined(__x86_64__)
  constexpr unsigned hypervisor_leaf = 0x4000'0000;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __cpuid(1, eax, ebx, ecx, edx);
  if ((ecx & (1U << 31)) == 0) {
    return false;
  }
  __cpuid(hypervisor_leaf, eax, ebx, ecx, edx);
  std::array<char, 12> signature{};
  std::memcpy(signature.data(), &ebx, 4);
  std::memcpy(signature.data() + 4, &ecx, 4);
  std::memcpy(signature.data() + 8, &edx, 4);
  return std::string_view(signature.data(), signature.size()) == "TCGTCGTCGTCG" && sysconf(_SC_NPROCESSORS_CONF) == 1;
#else
  return false;
#endif
}

// No driver owns the device, so nobody has switched its memory decoding on yet.
void enable(const std::string& device) {
  const std::string path = device + "/enable";
  if (first_line(path) == "0") {
    std::ofstream(path) << "1";
  }
}

Result<IvshmemDevice> open_device(const std::string& pci_devices, const std::string& address) {
  const std::string device = text(pci_devices, "/", address);
  const std::string path = device + "/resource2";
  const std::string what = text("ivshmem device ", address);
  enable(device);
  const UniqueFd mapped(open(path.c_str(), O_RDWR | O_CLOEXEC));
  // Opened once more for the locks: a mapping keeps its description open, in every child after fork too, and with it
  // the locks on that description.
  UniqueFd bar2(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!mapped || !bar2) {
    const int error = errno;
    return fail(
        error == EACCES || error == EPERM ? Errc::permission_denied : Errc::system,
        text(what, ": cannot open ", path, ": ", errno_text(error),
             error == EACCES || error == EPERM ? "; run as root, or give this user write access to the file" : ""));
  }
  struct stat status{};
  if (fstat(mapped.get(), &status) != 0) {
    return fail(Errc::system, text(what, ": ", path, ": ", errno_text(errno)));
  }
  auto region = Region::open_as_client(mapped.get(), static_cast<std::uint64_t>(status.st_size), what);
  if (!region) {
    return std::unexpected(std::move(region.error()));
  }
  return IvshmemDevice{.address = address, .bar2 = std::move(bar2), .region = std::move(*region)};
}

std::string describe(const std::vector<IvshmemDevice>& devices) {
  std::string line;
  for (const IvshmemDevice& device : devices) {
    line += text(line.empty() ? "" : ", ", device.address, " (region ", device.region.name(), ")");
  }
  return line;
}

}  // namespace

Result<IvshmemDevice> open_ivshmem(const Endpoint& endpoint, const std::string& pci_devices) {
  if (is_single_processor_tcg()) {
    return fail(Errc::unsupported,
                "this VM has one virtual processor under QEMU's TCG, where shared memory keeps no order; start QEMU "
                "with -smp 2 or more");
  }
  const std::vector<std::string> addresses = list_devices(pci_devices);
  if (!endpoint.device.empty()) {
    if (std::ranges::find(addresses, endpoint.device) == addresses.end()) {
      return fail(Errc::not_found, text("endpoint ivshmem:", endpoint.device, ": no ivshmem device at that address; ",
                                        addresses.size(), " elsewhere; `lspci -d 1af4:1110` lists them"));
    }
    return open_device(pci_devices, endpoint.device);
  }
  if (addresses.empty()) {
    return fail(Errc::not_found,
                "endpoint ivshmem:auto: this machine has no ivshmem device (1af4:1110); start QEMU with -device "
                "ivshmem-plain over the daemon's region");
  }
  // Devices that are no regions of ours are left out, but the reason of the last is kept, in case none is left.
  std::vector<IvshmemDevice> regions;
  Error last{Errc::not_found, ""};
  for (const std::string& address : addresses) {
    auto opened = open_device(pci_devices, address);
    if (opened && (endpoint.region.empty() || opened->region.name() == endpoint.region)) {
      regions.push_back(std::move(*opened));
    } else {
      last = opened ? Error{Errc::not_found,
                            text("endpoint ivshmem:auto?region=", endpoint.region, ": no such region; device ", address,
                                 " has region ", opened->region.name())}
                    : std::move(opened.error());
    }
  }
  if (regions.empty()) {
    return std::unexpected(std::move(last));
  }
  if (regions.size() > 1) {
    return fail(Errc::not_found, text("endpoint ivshmem:auto: ", regions.size(), " devices, and none is named: ",
                                      describe(regions), "; use ivshmem:auto?region=NAME or ivshmem:ADDRESS"));
  }
  return std::move(regions.front());
}

}  // namespace isthmus
