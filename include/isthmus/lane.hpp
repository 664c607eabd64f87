// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isthmus/channel.hpp"
#include "isthmus/endpoint.hpp"
#include "isthmus/error.hpp"
#include "isthmus/frame.hpp"
#include "isthmus/service.hpp"
#include "isthmus/slab_statistics.hpp"

namespace isthmus {

struct AttachOptions {
  /// How long daemon and worker may each take to answer; a day at most counts. A daemon that is not there is noticed
  /// sooner where that is possible.
  std::chrono::milliseconds timeout{2000};
  /// What drivers in the worker are to find in their environment, "KEY=VALUE", 1016 bytes in all with an end for each.
  /// Each plug-in of the worker takes the variables that it knows, and only where the host's configuration does not set
  /// them; the rest is ignored.
  // NOLINTNEXTLINE(readability-redundant-member-init): callers may leave it out
  std::vector<std::string> environment{};
};

/// One process's connection to its worker. Detaches when destroyed and the last Frame is gone. Move-only; any thread
/// may call any method, except that Lane itself must not be moved or destroyed meanwhile.
class Lane {
 public:
  /// Finds the region that the endpoint names (see isthmus/endpoint.hpp), claims a lane and waits for its worker.
  ///
  /// Errors: invalid_argument (bad URI, bad size, bad environment), not_found (no daemon, no device, more than one
  /// device and no name), permission_denied, version_mismatch, exhausted (all lanes taken), timed_out (no daemon
  /// answered, or no worker came), closed and peer_died (the host gave the lane up, and says why), protocol_violation
  /// (the region contradicts itself), unsupported, system.
  [[nodiscard]] static Result<Lane> attach(std::string_view endpoint, const AttachOptions& options = {});

  Lane(Lane&&) noexcept = default;
  Lane& operator=(Lane&&) noexcept = default;
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane();

  /// The calling thread's channel, opened at first use and given back when the thread ends. The pointer is valid in
  /// this thread while the lane lives.
  /// Errors: exhausted (256 channels open, or no slab memory or worker thread for one more), timed_out (the worker does
  /// not open it), wrong_thread (after fork), and those of check().
  [[nodiscard]] Result<Channel*> channel();

  /// Payload memory of at least 1 byte. Errors: invalid_argument (0 bytes), exhausted, wrong_thread (after fork).
  [[nodiscard]] Result<Frame> allocate(std::size_t bytes);

  /// Maps the pages of a frame of this lane a second time, in the place of whatever is mapped from `at` on, as many
  /// bytes as the frame has. `at` and the frame's address must be multiples of the page size; unmapping them is the
  /// caller's. Errors: invalid_argument and wrong_thread (after fork), after which nothing is
  /// changed; system, after which nothing may be mapped there any more.
  [[nodiscard]] Result<void> map_again(const Frame& frame, std::byte* at);

  /// Answers the host's upcalls from now on, in a thread of the library's. `service` must outlive the lane and every
  /// frame of it. Errors: invalid_argument (a second time), exhausted (thread, slab memory), and those of channel().
  [[nodiscard]] Result<void> serve_upcalls(Service& service);
  /// The same, with a service that the lane keeps for as long as it may be called. \pre it is not null
  [[nodiscard]] Result<void> serve_upcalls(std::unique_ptr<Service> service);

  /// Whether the worker still serves this lane; the error says why not. Slow: not meant for every call. Errors:
  /// wrong_thread (after fork), closed, peer_died, protocol_violation.
  [[nodiscard]] Result<void> check();

  /// For tests and other kinds of links: a handle on a lane that is attached already.
  [[nodiscard]] static Lane of(std::shared_ptr<LaneState> state) noexcept { return Lane(std::move(state)); }

  [[nodiscard]] const std::string& region_name() const noexcept;
  [[nodiscard]] std::uint32_t index() const noexcept;
  [[nodiscard]] SlabStatistics slab_statistics() const;

 private:
  explicit Lane(std::shared_ptr<LaneState> state) noexcept;

  std::shared_ptr<LaneState> state_;
};

}  // namespace isthmus
