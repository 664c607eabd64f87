// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/reference.hpp"
#include "isthmus/service.hpp"
#include "isthmus/upcalls.hpp"

namespace isthmus {

struct LaneServerOptions {
  std::uint32_t lane_count = 1;    ///< as the daemon formatted the region
  std::uint64_t base_address = 0;  ///< where to map the region if possible; 0: anywhere
  int control_fd = -1;             ///< readable or hung up: stop waiting and serving; -1: none
  int kick_fd = -1;                ///< eventfd that clients ring (one kernel); -1: look at intervals (ivshmem-plain)
};

/// Which clients wait_for_claim() is to take.
struct ClaimsWanted {
  /// That of this lane alone, and only if it is there now; the lanes of dead clients are left to others. Unset: any.
  std::optional<std::uint32_t> lane = std::nullopt;
  /// Whether a client can be served that asks for these variables ("KEY=VALUE") in its worker's environment; empty:
  /// each can. Asked before the lane is taken, and may take its time: the client waits, and others are not looked for.
  std::function<bool(const std::vector<std::string>&)> fits = nullptr;
  /// Called once for each claim that does not fit; may be empty.
  std::function<void(std::uint32_t lane)> misfit = nullptr;
  /// Whether to stop waiting after a claim that does not fit.
  bool only_one = false;
};

/// How a lane ended.
struct LaneEnd {
  bool orderly = false;  ///< the client released it, or its death was proven
  std::string reason;    ///< one line for the log; the client was told the same
};

/// A worker's end of a region: waits until a client claims a lane, then serves that lane until it is over.
///
/// The guest is hostile: whatever it writes into the region, the worst that happens is that the lane ends with a
/// reason. Methods are called by one thread; serve() starts one more for each channel.
class LaneServer {
 public:
  /// Maps the region. The descriptors in the options are borrowed and must outlive the object. Errors:
  /// invalid_argument (size), permission_denied, protocol_violation (no region), system.
  [[nodiscard]] static Result<LaneServer> open(int region_fd, const LaneServerOptions& options);

  LaneServer(LaneServer&&) noexcept;
  LaneServer& operator=(LaneServer&&) noexcept;
  LaneServer(const LaneServer&) = delete;
  LaneServer& operator=(const LaneServer&) = delete;
  ~LaneServer();

  /// Moves the region's memory into huge pages (2 MiB), for all processes that map it; takes about as long as copying
  /// it once. Better before wait_for_claim(). Where it fails, in whole or in part, the region works as before. Errors:
  /// unsupported (Linux before 6.1, or a file that is not in memory), exhausted (no free memory in pieces of 2 MiB).
  [[nodiscard]] Result<void> use_huge_pages();

  /// Blocks until a client has claimed a lane, and says which. Meanwhile it returns the extents of lanes whose clients
  /// and workers are both gone. Only one process of a region may wait at a time, but for those that wait for one lane.
  /// Errors: closed (control_fd, or no client claims that one lane any more, or the only claim did not fit),
  /// protocol_violation (the region's header was destroyed).
  [[nodiscard]] Result<std::uint32_t> wait_for_claim(const ClaimsWanted& wanted = {});
  /// The variables that the client of that lane asked for, as they were when it was taken. They are the guest's word.
  [[nodiscard]] const std::vector<std::string>& client_environment() const noexcept;

  /// Serves the lane that wait_for_claim() returned until it is over. The host's state of the lane is `closing` then;
  /// whoever reaps the worker closes it (close_lane).
  [[nodiscard]] LaneEnd serve(Service& service);

  /// The region as it is mapped here, window 0 of the lane. Any thread, while the object lives.
  [[nodiscard]] std::span<std::byte> window() const noexcept;
  /// As Request::resolve(). Any thread, while the object lives.
  [[nodiscard]] std::optional<std::span<std::byte>> resolve(Reference reference) const noexcept;
  /// As Request::upcalls(). Any thread, while the object lives.
  [[nodiscard]] std::shared_ptr<Upcalls> upcalls() const noexcept;

 private:
  struct Impl;
  explicit LaneServer(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace isthmus
