// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>
#include <vector>

namespace isthmus::cuda {

/// Address ranges that do not overlap, and what is known of each. Any thread.
template <class Value>
class Ranges {
 public:
  struct Range {
    std::uint64_t base = 0;
    std::uint64_t size = 0;  ///< bytes
    Value value;

    /// Whether `bytes` from `address` on lie in it.
    [[nodiscard]] bool holds(std::uint64_t address, std::uint64_t bytes) const noexcept {
      return address >= base && address - base <= size && bytes <= size - (address - base);
    }
  };

  /// A range that overlaps others replaces them: whoever tells of it knows better.
  void add(std::uint64_t base, std::uint64_t size, Value value) {
    if (size == 0 || base + size < base) {
      return;
    }
    const std::scoped_lock lock(mutex_);
    auto at = ranges_.lower_bound(base);
    if (at != ranges_.begin()) {
      if (const auto before = std::prev(at); base - before->first < before->second.size) {
        at = before;
      }
    }
    while (at != ranges_.end() && at->first < base + size) {
      at = ranges_.erase(at);
    }
    ranges_.insert_or_assign(base, Range{.base = base, .size = size, .value = std::move(value)});
  }

  /// Removes the range that starts there.
  std::optional<Range> remove(std::uint64_t base) {
    const std::scoped_lock lock(mutex_);
    const auto found = ranges_.find(base);
    if (found == ranges_.end()) {
      return std::nullopt;
    }
    std::optional<Range> range = std::move(found->second);
    ranges_.erase(found);
    return range;
  }

  /// Removes all of which `is_gone(range)` says so.
  template <class F>
  void remove_if(F is_gone) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(ranges_, [&](const auto& entry) { return is_gone(entry.second); });
  }

  /// All ranges that start there or in the `size` bytes behind it.
  [[nodiscard]] std::vector<Range> in(std::uint64_t base, std::uint64_t size) const {
    std::vector<Range> all;
    const std::shared_lock lock(mutex_);
    for (auto at = ranges_.lower_bound(base); at != ranges_.end() && at->first - base < size; ++at) {
      all.push_back(at->second);
    }
    return all;
  }

  /// The range that an address lies in.
  [[nodiscard]] std::optional<Range> find(std::uint64_t address) const {
    const std::shared_lock lock(mutex_);
    auto after = ranges_.upper_bound(address);
    if (after == ranges_.begin()) {
      return std::nullopt;
    }
    const Range& range = std::prev(after)->second;
    return range.holds(address, 1) ? std::optional<Range>(range) : std::nullopt;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<std::uint64_t, Range> ranges_;
};

}  // namespace isthmus::cuda
