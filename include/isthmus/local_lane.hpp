// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "isthmus/error.hpp"
#include "isthmus/lane.hpp"
#include "isthmus/lane_server.hpp"
#include "isthmus/service.hpp"

namespace isthmus {

struct LocalLaneOptions {
  std::uint64_t region_size = std::uint64_t{32} << 20;  ///< bytes; a power of two, at least 8 MiB
  std::chrono::milliseconds timeout{2000};              ///< how long the worker may take to serve
};

/// A lane without a daemon: for tests, examples, and programs that fork their own worker. It makes a region of its own
/// and both ends of one lane; nobody else can attach to it. Rings, waiting, slab and every check are those of a lane
/// that isthmusd serves. Move-only; one thread at a time, while lane() may be used by any.
class LocalLane {
 public:
  using MakeService = std::function<std::unique_ptr<Service>()>;

  /// The worker is a thread of this process, and no boundary of trust. `service` must outlive the object, and its
  /// functions must return. Errors: invalid_argument (size), exhausted (memory, threads), timed_out, system.
  [[nodiscard]] static Result<LocalLane> in_thread(Service& service, const LocalLaneOptions& options = {});

  /// The worker is a child process, forked here: call it while the program has one thread. `make` runs in the child and
  /// may start threads there. The child ends with the lane, also when this process is killed. Its death is this lane's
  /// end and nothing more. Errors: as above, and closed or peer_died (`make` threw, or the child died).
  [[nodiscard]] static Result<LocalLane> in_child(const MakeService& make, const LocalLaneOptions& options = {});

  LocalLane(LocalLane&&) noexcept;
  LocalLane& operator=(LocalLane&&) noexcept;
  LocalLane(const LocalLane&) = delete;
  LocalLane& operator=(const LocalLane&) = delete;
  /// As end(). In a child after fork it does nothing: worker and lane are its parent's.
  ~LocalLane();

  /// The client's end. \pre end() was not called, and the object was not moved from
  [[nodiscard]] Lane& lane() noexcept;
  /// The worker's process, or -1 where it is a thread.
  [[nodiscard]] int worker_pid() const noexcept;

  /// Detaches, waits for the worker's end, and says how it was. Posts that the host has not executed yet may be lost:
  /// make a call first where they matter. Frames that are still held are void for the host from now on. Again: the same
  /// answer.
  LaneEnd end();

 private:
  struct Impl;
  explicit LocalLane(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace isthmus
