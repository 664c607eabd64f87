// SPDX-License-Identifier: Apache-2.0
#include "perf/support/placement.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "perf/support/options.hpp"

namespace isthmus::perf {
namespace {

cpu_set_t first_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
  }
  return set;
}

const cpu_set_t& allowed() {
  static const cpu_set_t set = first_affinity();
  return set;
}

std::string cpu_folder(int cpu) { return "/sys/devices/system/cpu/cpu" + std::to_string(cpu); }

std::string first_line(const std::string& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

// Whether a list such as "0-3,8" names that number.
bool list_names(const std::string& list, int number) {
  const char* at = list.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    const long first = std::strtol(at, &end, 10);
    if (end == at) {
      return false;
    }
    long last = first;
    if (*end == '-') {
      at = end + 1;
      last = std::strtol(at, &end, 10);
    }
    if (first <= number && number <= last) {
      return true;
    }
    at = *end == ',' ? end + 1 : end;
  }
  return false;
}

std::string l3_sharers(int cpu) {
  for (int index = 0;; ++index) {
    const std::string cache = cpu_folder(cpu) + "/cache/index" + std::to_string(index);
    const std::string level = first_line(cache + "/level");
    if (level.empty()) {
      return {};
    }
    if (level == "3") {
      return first_line(cache + "/shared_cpu_list");
    }
  }
}

// In the order of preference.
enum class Relation : std::uint8_t { same_l3, same_socket, other_socket, unknown, siblings, same };

Relation relation(int a, int b) {
  if (a == b) {
    return Relation::same;
  }
  const std::string siblings = first_line(cpu_folder(a) + "/topology/thread_siblings_list");
  if (list_names(siblings, b)) {
    return Relation::siblings;
  }
  if (list_names(l3_sharers(a), b)) {
    return Relation::same_l3;
  }
  const std::string socket = first_line(cpu_folder(a) + "/topology/physical_package_id");
  if (siblings.empty() || socket.empty()) {
    return Relation::unknown;
  }
  return socket == first_line(cpu_folder(b) + "/topology/physical_package_id") ? Relation::same_socket
                                                                               : Relation::other_socket;
}

const char* name(Relation relation) {
  switch (relation) {
    case Relation::same_l3:
      return "different cores, same L3";
    case Relation::same_socket:
      return "different cores, same socket, different L3";
    case Relation::other_socket:
      return "different sockets";
    case Relation::siblings:
      return "hyperthread siblings of one core";
    case Relation::same:
      return "one and the same processor";
    case Relation::unknown:
      break;
  }
  return "unknown (no topology in /sys)";
}

// Eight independent sums: alone on its core it keeps most of the arithmetic units busy.
void add_up(int rounds) noexcept {
  std::array<std::uint64_t, 8> sums{};
  for (int i = 0; i < rounds; ++i) {
    for (std::uint64_t& sum : sums) {
      sum += 1;
      asm volatile("" : "+r"(sum));  // NOLINT(hicpp-no-assembler): or the compiler would multiply instead
    }
  }
}

// Whether two processors are hyperthreads of one core, by experiment: then work on the one takes longer while the
// other works. The shortest times count, since anything may get in between.
bool share_a_core(int a, int b) {
  constexpr int windows = 60;
  constexpr int rounds = 20'000;
  constexpr double slowed_down = 1.25;
  std::atomic<bool> busy{false};
  std::atomic<bool> over{false};
  std::thread other([&] {
    pin_to(b);
    while (!over.load(std::memory_order_relaxed)) {
      if (busy.load(std::memory_order_relaxed)) {
        add_up(rounds / 10);
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  });
  pin_to(a);
  const auto times = [&](bool beside) {
    busy.store(beside, std::memory_order_relaxed);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::vector<double> samples;
    samples.reserve(windows);
    for (int i = 0; i < windows; ++i) {
      const auto start = std::chrono::steady_clock::now();
      add_up(rounds);
      samples.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::sort(samples);
    return samples;
  };
  const double alone = times(false).front();
  const double beside = times(true)[windows / 10];  // in some, the other thread was not running
  over.store(true);
  other.join();
  unpin();
  return beside > alone * slowed_down;
}

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed())) {
      cpus.push_back(cpu);
    }
  }
  return cpus;
}

Placement find() {
  const std::vector<int> cpus = allowed_cpus();
  Placement found{.client_cpu = options().client_cpu, .host_cpu = options().host_cpu, .relation = {}};
  if (found.client_cpu < 0) {
    found.client_cpu = cpus.front();
    found.host_cpu = *std::ranges::min_element(cpus, {}, [&](int cpu) { return relation(found.client_cpu, cpu); });
  }
  for (const int cpu : {found.client_cpu, found.host_cpu}) {
    if (std::ranges::find(cpus, cpu) == cpus.end()) {
      throw std::invalid_argument("--cpus: processor " + std::to_string(cpu) + " is not there, or not allowed");
    }
  }
  found.relation = name(relation(found.client_cpu, found.host_cpu));
  if (in_virtual_machine() && found.client_cpu != found.host_cpu) {
    found.relation += share_a_core(found.client_cpu, found.host_cpu)
                          ? ", says the hypervisor; but they slow each other down like hyperthread siblings"
                          : ", says the hypervisor; they do not slow each other down as hyperthread siblings do";
  }
  return found;
}

std::optional<std::string> cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (const std::size_t colon = line.find(": "); line.starts_with(key) && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return std::nullopt;
}

void set_affinity(const cpu_set_t& set, const std::string& what) {
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw std::system_error(errno, std::generic_category(), what);
  }
}

}  // namespace

const Placement& placement() {
  static const Placement found = find();
  return found;
}

void pin_to(int cpu) {
  static_cast<void>(allowed());
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  set_affinity(set, "pinning to processor " + std::to_string(cpu));
}

void pin_elsewhere(int than_cpu) {
  cpu_set_t set = allowed();
  CPU_CLR(than_cpu, &set);
  if (CPU_COUNT(&set) > 0) {
    set_affinity(set, "keeping off processor " + std::to_string(than_cpu));
  }
}

void unpin() { set_affinity(allowed(), "unpinning"); }

bool in_virtual_machine() {
  std::istringstream flags(cpuinfo("flags").value_or(""));
  return std::find(std::istream_iterator<std::string>(flags), {}, "hypervisor") != std::istream_iterator<std::string>();
}

std::string processor_name() {
  return cpuinfo("model name").value_or("unknown processor") + ", " + std::to_string(allowed_cpus().size()) +
         " processors";
}

std::string kernel_name() {
  utsname names{};
  uname(&names);
  return std::string(static_cast<const char*>(names.sysname)) + " " + static_cast<const char*>(names.release);
}

}  // namespace isthmus::perf
