// SPDX-License-Identifier: Apache-2.0
#include "guest/cuda/managed_variables.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace isthmus::cuda {
namespace {

// Runs `work(offset, count)` for each piece until one fails.
template <class F>
bool in_pieces(std::size_t bytes, F work) {
  for (std::size_t at = 0; at < bytes; at += ManagedVariables::piece) {
    if (!work(at, std::min(ManagedVariables::piece, bytes - at))) {
      return false;
    }
  }
  return true;
}

std::uint64_t address_of_copy(std::span<const std::byte> copy) { return reinterpret_cast<std::uintptr_t>(copy.data()); }

// Makes memory of pages that were held for a device. False where that fails.
bool make_writable(std::uint64_t address, std::uint64_t size) {
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = address / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the driver's address
  return mprotect(reinterpret_cast<void*>(begin), address + size - begin, PROT_READ | PROT_WRITE) == 0;
}

}  // namespace

template <class F>
void ManagedVariables::each(F work) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(variables_, [&](Variable& variable) { return !work(variable); });
  any_.store(!variables_.empty(), std::memory_order_release);
}

bool ManagedVariables::add(Id owner, std::uint64_t address, std::uint64_t size, const Read& read) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the driver's address
  const std::span copy(reinterpret_cast<std::byte*>(address), size);
  const std::scoped_lock lock(mutex_);
  if (std::ranges::any_of(variables_, [&](const Variable& known) {
        return known.owner == owner && known.copy.data() == copy.data() && known.copy.size() == size;
      })) {
    return true;
  }
  Variable variable{.owner = owner, .copy = copy, .known = std::vector<std::byte>(size)};
  if (!make_writable(address, size) || !in_pieces(size, [&](std::size_t at, std::size_t count) {
        return read(owner, address + at, std::span(variable.known).subspan(at, count));
      })) {
    return false;
  }
  std::ranges::copy(variable.known, copy.begin());
  variables_.push_back(std::move(variable));
  any_.store(true, std::memory_order_release);
  return true;
}

void ManagedVariables::forget(Id owner) {
  each([&](const Variable& variable) { return owner != 0 && variable.owner != owner; });
}

void ManagedVariables::send_changes(const Write& write) {
  each([&](Variable& variable) {
    return in_pieces(variable.copy.size(), [&](std::size_t at, std::size_t count) {
      const auto copy = variable.copy.subspan(at, count);
      const auto known = std::span(variable.known).subspan(at, count);
      if (std::memcmp(copy.data(), known.data(), count) == 0) {
        return true;
      }
      // Only from the first byte that is new to the last one: the device may be at work on its neighbours.
      const auto first = std::ranges::mismatch(copy, known).in1 - copy.begin();
      auto last = static_cast<std::ptrdiff_t>(count);
      while (copy[static_cast<std::size_t>(last - 1)] == known[static_cast<std::size_t>(last - 1)]) {
        --last;
      }
      const auto from = static_cast<std::size_t>(first);
      const auto changed = known.subspan(from, static_cast<std::size_t>(last - first));
      std::ranges::copy(copy.subspan(from, changed.size()), changed.begin());
      return write(variable.owner, address_of_copy(copy) + from, changed);
    });
  });
}

void ManagedVariables::fetch_changes(const Read& read) {
  std::vector<std::byte> now(piece);
  each([&](Variable& variable) {
    return in_pieces(variable.copy.size(), [&](std::size_t at, std::size_t count) {
      const auto copy = variable.copy.subspan(at, count);
      const auto known = std::span(variable.known).subspan(at, count);
      if (!read(variable.owner, address_of_copy(copy), std::span(now).first(count))) {
        return false;
      }
      for (std::size_t i = 0; i < count; ++i) {
        if (now[i] != known[i]) {  // what the program has changed meanwhile stays
          copy[i] = known[i] = now[i];
        }
      }
      return true;
    });
  });
}

}  // namespace isthmus::cuda
