// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/device_addresses.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>
#include <vector>

namespace isthmus::cuda {
namespace {

using Interval = std::pair<std::uint64_t, std::uint64_t>;  // begin, end

void* address_of(std::uint64_t number) {
  return reinterpret_cast<void*>(number);  // NOLINT(performance-no-int-to-ptr): addresses are computed with
}

// False where something else lies there.
bool map_to_nothing(const Interval& where) {
  const std::size_t bytes = where.second - where.first;
  void* const made = mmap(address_of(where.first), bytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (made == MAP_FAILED) {
    return errno != EEXIST;
  }
  if (made != address_of(where.first)) {  // a kernel before 4.17 takes the address for a hint
    munmap(made, bytes);
    return false;
  }
  return true;
}

}  // namespace

bool DeviceAddresses::hold(std::uint64_t base, std::uint64_t bytes) {
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t begin = base / page * page;
  std::uint64_t end = 0;
  if (bytes == 0 || __builtin_add_overflow(base, bytes, &end) || __builtin_add_overflow(end, page - 1, &end)) {
    return true;  // no range; whoever uses it finds that out
  }
  end = end / page * page;
  const std::scoped_lock lock(mutex_);
  // What of it is not held yet lies between those that are.
  auto first = held_.upper_bound(begin);
  if (first != held_.begin() && std::prev(first)->second >= begin) {
    --first;
  }
  std::vector<Interval> gaps;
  std::uint64_t reached = begin;
  auto last = first;
  for (; last != held_.end() && last->first <= end; ++last) {
    if (last->first > reached) {
      gaps.emplace_back(reached, last->first);
    }
    reached = std::max(reached, last->second);
  }
  if (reached < end) {
    gaps.emplace_back(reached, end);
  }
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    if (!map_to_nothing(gaps[i])) {
      while (i > 0) {
        --i;
        munmap(address_of(gaps[i].first), gaps[i].second - gaps[i].first);
      }
      return false;
    }
  }
  if (first != last) {
    begin = std::min(begin, first->first);
    end = std::max(end, std::prev(last)->second);
  }
  held_.erase(first, last);
  held_.emplace(begin, end);
  return true;
}

}  // namespace isthmus::cuda
