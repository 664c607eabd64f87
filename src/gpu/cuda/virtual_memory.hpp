// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <variant>

#include "src/gpu/cuda/cu.hpp"
#include "src/gpu/cuda/device_account.hpp"
#include "src/gpu/cuda/driver.hpp"
#include "src/gpu/cuda/message_kind.hpp"
#include "src/gpu/cuda/ranges.hpp"

namespace isthmus::cuda {

/// Addresses and memory of a lane that are had apart (cuMemAddressReserve, cuMemCreate) and brought together
/// (cuMemMap). The client's numbers are checked against what the lane has, before the driver sees them: it can map
/// nothing over addresses that the driver or others use. Memory is given back, and leaves the account, when its name is
/// released and it is mapped nowhere. Codes are the driver's. Any thread.
class VirtualMemory {
 public:
  /// Both outlive it.
  VirtualMemory(const Driver* driver, DeviceAccount& account) : driver_(driver), account_(&account) {}

  /// Reserves `bytes` addresses; `wanted` is a hint. The first goes to `address`.
  [[nodiscard]] CUresult reserve(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t wanted,
                                 std::uint64_t& address);
  /// \pre nothing of it is mapped, and it is a whole reservation, or CUDA_ERROR_INVALID_VALUE
  [[nodiscard]] CUresult free(std::uint64_t address, std::uint64_t bytes);
  /// Makes memory of that name. `properties` become those that it has.
  [[nodiscard]] CUresult create(Id id, std::uint64_t bytes, CUmemAllocationProp& properties);
  /// The same of memory that another process shares by a descriptor, which stays the caller's.
  [[nodiscard]] CUresult open(Id id, std::uint64_t bytes, int descriptor, CUmemAllocationProp& properties);
  /// A descriptor for memory, to be closed by the caller, and its bytes.
  [[nodiscard]] CUresult share(Id id, int& descriptor, std::uint64_t& bytes) const;
  [[nodiscard]] CUresult release(Id id);
  [[nodiscard]] CUresult map(std::uint64_t address, std::uint64_t bytes, std::uint64_t offset, Id id);
  /// All mappings there; none is cut.
  [[nodiscard]] CUresult unmap(std::uint64_t address, std::uint64_t bytes);
  /// Whole mappings, one behind the other.
  [[nodiscard]] CUresult set_access(std::uint64_t address, std::uint64_t bytes,
                                    std::span<const CUmemAccessDesc> access);
  /// A device's access to a mapped address.
  [[nodiscard]] CUresult access_at(std::uint64_t address, CUdevice device, std::uint64_t& flags) const;

  /// Whether some device may use all these bytes; nothing where the first is not at a reserved address.
  [[nodiscard]] std::optional<bool> is_usable(std::uint64_t address, std::uint64_t bytes) const;

 private:
  struct Physical {
    CUmemGenericAllocationHandle handle = 0;
    std::uint64_t bytes = 0;
    std::uint64_t key = 0;     // in the account
    std::uint64_t mapped = 0;  // how often
    bool named = true;         // not released yet
  };
  struct Mapping {
    std::uint64_t bytes = 0;
    std::uint64_t physical = 0;  // key of physicals_
    bool usable = false;         // it was given access to
  };
  using Mappings = std::map<std::uint64_t, Mapping>;  // by address

  // `make(handle)` has the driver make it.
  [[nodiscard]] CUresult keep(Id id, std::uint64_t bytes, CUmemAllocationProp& properties,
                              const std::function<CUresult(CUmemGenericAllocationHandle&)>& make);
  [[nodiscard]] Mappings::const_iterator mapping_at(std::uint64_t address) const;
  [[nodiscard]] bool is_reserved(std::uint64_t address, std::uint64_t bytes) const;
  // Whether these bytes are whole mappings.
  [[nodiscard]] bool is_mapped_whole(std::uint64_t address, std::uint64_t bytes) const;
  void let_go(std::uint64_t physical);

  const Driver* driver_;
  DeviceAccount* account_;
  mutable std::mutex mutex_;
  Ranges<std::monostate> reservations_;
  std::map<std::uint64_t, Physical> physicals_;  // by a number of ours
  std::map<Id, std::uint64_t> names_;            // of physicals_ that are named
  Mappings mappings_;
  std::uint64_t last_ = 0;
};

}  // namespace isthmus::cuda
