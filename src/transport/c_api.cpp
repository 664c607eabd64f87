// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "isthmus/isthmus.h"
#include "isthmus/lane.hpp"
#include "isthmus/local_lane.hpp"
#include "src/transport/c_error.hpp"
#include "src/transport/c_handles.hpp"
#include "src/transport/c_message.hpp"
#include "src/transport/c_service.hpp"
#include "src/transport/c_struct.hpp"
#include "src/transport/process_mark.hpp"
#include "src/transport/text.hpp"
#include "src/transport/thread_object.hpp"

// The client's side of the C interface, over the C++ one: lanes, channels and frames.

namespace isthmus::c {
namespace {

// ---- handles -------------------------------------------------------------------------------------------------------

/// The channel handles of a lane, for the thread that detaches it.
struct LaneChannels {
  std::mutex mutex;
  std::vector<std::uintptr_t> handles;
};

/// The worker of a lane without a daemon.
struct LocalWorker {
  explicit LocalWorker(const isthmus_service& functions) : service(functions) {}

  CService service;
  std::optional<LocalLane> worker;
};

struct OpenLane {
  std::unique_ptr<LocalWorker> local;  // where there is one; ends after the lane
  Lane lane;
  ProcessMark process;
  std::shared_ptr<LaneChannels> channels;
};

struct OpenChannel {
  Channel* channel;
  std::uintptr_t lane;
  ProcessMark process;
  const void* thread;
};

const void* this_thread() noexcept {
  static thread_local char mark = 0;
  return &mark;
}

// constinit, and never destroyed: other libraries' threads may still call while the program ends.
constinit CHandles<OpenLane, CHandleKind::lane> lanes;
constinit CHandles<OpenChannel, CHandleKind::channel> channels;
constinit CHandles<Frame, CHandleKind::frame> frames;

constexpr std::string_view bad_lane = "lane: NULL, detached, or no lane at all";
constexpr std::string_view bad_channel =
    "channel: NULL, no channel at all, or its lane was detached or its thread has ended";
constexpr std::string_view bad_frame = "frame: NULL, freed or handed over before, or no frame at all";

// The channel handles of one thread. They go when it ends, before the channels themselves: thread-local objects are
// destroyed in the opposite order of their making, and this one is made after the lane's.
class ThreadHandles {
 public:
  ThreadHandles() = default;
  ThreadHandles(const ThreadHandles&) = delete;
  ThreadHandles& operator=(const ThreadHandles&) = delete;
  ThreadHandles(ThreadHandles&&) = delete;
  ThreadHandles& operator=(ThreadHandles&&) = delete;
  ~ThreadHandles() {
    for (const std::uintptr_t handle : handles_) {
      static_cast<void>(channels.take(handle));
    }
  }

  [[nodiscard]] std::uintptr_t find(std::uintptr_t lane, const Channel* channel) {
    std::erase_if(handles_, [](std::uintptr_t handle) { return channels.find(handle) == nullptr; });
    for (const std::uintptr_t handle : handles_) {
      const OpenChannel* known = channels.find(handle);
      if (known != nullptr && known->lane == lane && known->channel == channel) {
        return handle;
      }
    }
    return 0;
  }
  [[nodiscard]] std::uintptr_t add(std::uintptr_t lane, const OpenLane& open, Channel* channel) {
    const std::scoped_lock lock(open.channels->mutex);
    auto& others = open.channels->handles;
    std::erase_if(others, [](std::uintptr_t handle) { return channels.find(handle) == nullptr; });
    // Before the handle exists: nothing may fail after that.
    others.reserve(others.size() + 1);
    handles_.reserve(handles_.size() + 1);
    const auto handle =
        channels.put({.channel = channel, .lane = lane, .process = open.process, .thread = this_thread()});
    if (handle) {
      others.push_back(*handle);
      handles_.push_back(*handle);
    }
    return handle.value_or(0);
  }

 private:
  std::vector<std::uintptr_t> handles_;
};

ThreadHandles& thread_handles() { return ThreadObject<ThreadHandles>::get(); }

// ---- what several functions need -----------------------------------------------------------------------------------

// Gives an attached lane out.
isthmus_result put_lane(std::unique_ptr<LocalWorker> local, Lane attached, isthmus_lane** lane) {
  const auto handle = lanes.put({.local = std::move(local),
                                 .lane = std::move(attached),
                                 .process = ProcessMark::current(),
                                 .channels = std::make_shared<LaneChannels>()});
  if (!handle) {
    return failed(ISTHMUS_EXHAUSTED, "no handle is left for a lane");
  }
  *lane = disguise<isthmus_lane>(*handle);
  return ISTHMUS_OK;
}

// Runs a body with a channel, or says that the handle is none.
template <class Body>
isthmus_result with_channel(isthmus_channel* handle, const Body& body) noexcept {
  return guarded([&]() -> isthmus_result {
    const OpenChannel* const known = channels.find(number(handle));
    if (known == nullptr) [[unlikely]] {
      return invalid(bad_channel);
    }
    if (!known->process.is_this_process()) [[unlikely]] {
      return in_a_child();
    }
    if (known->thread != this_thread()) [[unlikely]] {
      return failed(ISTHMUS_WRONG_THREAD,
                    "channel: used by another thread than its own; ask isthmus_lane_channel() in each thread");
    }
    return body(*known->channel);
  });
}
template <class Body>
isthmus_result with_lane(isthmus_lane* handle, const Body& body) noexcept {
  return guarded([&]() -> isthmus_result {
    OpenLane* const known = lanes.find(number(handle));
    if (known == nullptr) [[unlikely]] {
      return invalid(bad_lane);
    }
    return known->process.is_this_process() ? body(*known) : in_a_child();
  });
}

// Takes frames out of their handles: all of them or, when one is bad, none.
isthmus_result take_frames(std::span<isthmus_frame* const> handles, std::vector<Frame>& taken) {
  std::vector<isthmus_frame*> sorted(handles.begin(), handles.end());
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end()) {
    return invalid("frames: one occurs twice");
  }
  if (!std::ranges::all_of(sorted, [](isthmus_frame* frame) { return frames.find(number(frame)) != nullptr; })) {
    return invalid(bad_frame);
  }
  taken.reserve(handles.size());
  for (isthmus_frame* handle : handles) {
    auto frame = frames.take(number(handle));
    if (frame) {
      taken.push_back(std::move(*frame));
    }
  }
  return ISTHMUS_OK;
}

}  // namespace
}  // namespace isthmus::c

// ---- the interface -------------------------------------------------------------------------------------------------

using namespace isthmus;
using namespace isthmus::c;

extern "C" {

uint32_t isthmus_abi_version(void) { return ISTHMUS_ABI_VERSION; }

isthmus_result isthmus_lane_attach(const char* endpoint, const isthmus_attach_options* options, isthmus_lane** lane) {
  return guarded([&]() -> isthmus_result {
    if (endpoint == nullptr || lane == nullptr) {
      return invalid("isthmus_lane_attach: NULL");
    }
    AttachOptions chosen;
    if (options != nullptr) {
      isthmus_attach_options known;
      if (const auto result = read_struct(options, known, "attach_options"); result != ISTHMUS_OK) {
        return result;
      }
      if (known.timeout_ms != 0) {
        chosen.timeout = std::chrono::milliseconds(known.timeout_ms);
      }
    }
    auto attached = Lane::attach(endpoint, chosen);
    if (!attached) {
      return failed(attached.error());
    }
    return put_lane(nullptr, std::move(*attached), lane);
  });
}

isthmus_result isthmus_lane_start_local(const isthmus_service* service, const isthmus_local_options* options,
                                        isthmus_lane** lane) {
  return guarded([&]() -> isthmus_result {
    isthmus_service functions;
    if (const auto result = read_service(service, functions); result != ISTHMUS_OK) {
      return result;
    }
    if (lane == nullptr) {
      return invalid("isthmus_lane_start_local: NULL");
    }
    LocalLaneOptions chosen;
    bool in_child = false;
    if (options != nullptr) {
      isthmus_local_options known;
      if (const auto result = read_struct(options, known, "local_options"); result != ISTHMUS_OK) {
        return result;
      }
      if (known.in_child > 1 || known.reserved != 0) {
        return failed(ISTHMUS_UNSUPPORTED, text("local_options: in_child ", known.in_child, ", reserved ",
                                                known.reserved, "; in_child is 0 or 1, reserved is 0"));
      }
      in_child = known.in_child == 1;
      if (known.timeout_ms != 0) {
        chosen.timeout = std::chrono::milliseconds(known.timeout_ms);
      }
      if (known.region_size != 0) {
        chosen.region_size = known.region_size;
      }
    }
    auto local = std::make_unique<LocalWorker>(functions);
    auto started = in_child ? LocalLane::in_child([&] { return std::make_unique<CService>(functions); }, chosen)
                            : LocalLane::in_thread(local->service, chosen);
    if (!started) {
      return failed(started.error());
    }
    local->worker = std::move(*started);
    Lane attached = std::move(local->worker->lane());
    return put_lane(std::move(local), std::move(attached), lane);
  });
}

isthmus_result isthmus_lane_serve_upcalls(isthmus_lane* lane, const isthmus_service* service) {
  return with_lane(lane, [&](OpenLane& known) -> isthmus_result {
    isthmus_service functions;
    if (const auto result = read_service(service, functions); result != ISTHMUS_OK) {
      return result;
    }
    return result_of(known.lane.serve_upcalls(std::make_unique<CService>(functions)));
  });
}

isthmus_result isthmus_lane_detach(isthmus_lane* lane) {
  return guarded([&]() -> isthmus_result {
    if (lane == nullptr) {
      return ISTHMUS_OK;
    }
    const auto taken = lanes.take(number(lane));
    if (!taken) {
      return invalid(bad_lane);
    }
    if (taken->process.is_this_process()) {  // in a child after fork the lock may be held for ever
      const std::scoped_lock lock(taken->channels->mutex);
      for (const std::uintptr_t handle : taken->channels->handles) {
        static_cast<void>(channels.take(handle));
      }
    }
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_lane_check(isthmus_lane* lane) {
  return with_lane(lane, [](OpenLane& known) { return result_of(known.lane.check()); });
}

isthmus_result isthmus_lane_channel(isthmus_lane* lane, isthmus_channel** channel) {
  return with_lane(lane, [&](OpenLane& known) -> isthmus_result {
    if (channel == nullptr) {
      return invalid("isthmus_lane_channel: NULL");
    }
    const auto opened = known.lane.channel();
    if (!opened) {
      return failed(opened.error());
    }
    std::uintptr_t handle = thread_handles().find(number(lane), *opened);
    if (handle == 0) {
      handle = thread_handles().add(number(lane), known, *opened);
    }
    if (handle == 0) {
      return failed(ISTHMUS_EXHAUSTED, "no handle is left for a channel");
    }
    *channel = disguise<isthmus_channel>(handle);
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_lane_slab_counts(isthmus_lane* lane, isthmus_slab_counts* counts) {
  return with_lane(lane, [&](OpenLane& known) {
    if (const auto result = check_size(counts, "slab_counts"); result != ISTHMUS_OK) {
      return result;
    }
    const SlabStatistics now = known.lane.slab_statistics();
    write_struct({.struct_size = 0,
                  .reserved = 0,
                  .bytes_in_use = now.bytes_in_use,
                  .bytes_held = now.bytes_held,
                  .bytes_cached = now.bytes_cached,
                  .bytes_in_channels = now.bytes_in_channels,
                  .bytes_high_water = now.bytes_high_water,
                  .bytes_claimed = now.bytes_claimed,
                  .bytes_claimable = now.bytes_claimable},
                 counts);
    return isthmus_result{ISTHMUS_OK};
  });
}

isthmus_result isthmus_channel_call(isthmus_channel* channel, const isthmus_message* request, void* buffer,
                                    size_t buffer_size, int64_t timeout_ns, isthmus_reply* reply) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    Message message;
    if (const auto result = read_call(request, message, buffer, buffer_size, reply); result != ISTHMUS_OK) {
      return result;
    }
    const auto answer = known.call(message, bytes(buffer, buffer_size), deadline(timeout_ns));
    if (!answer) {
      return failed(answer.error());
    }
    write_reply(*answer, reply);
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_post(isthmus_channel* channel, const isthmus_message* request,
                                    isthmus_frame* const* posted, size_t frame_count, int64_t timeout_ns) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    Message message;
    if (const auto result = read_request(request, message); result != ISTHMUS_OK) {
      return result;
    }
    if (frame_count == 0) {
      return result_of(known.post(message, deadline(timeout_ns)));
    }
    if (posted == nullptr) {
      return invalid("frames: NULL with a count that is not 0");
    }
    std::vector<Frame> taken;
    if (const auto result = take_frames(std::span(posted, frame_count), taken); result != ISTHMUS_OK) {
      return result;
    }
    return result_of(known.post(message, std::move(taken), deadline(timeout_ns)));
  });
}

isthmus_result isthmus_channel_hold(isthmus_channel* channel) {
  return with_channel(channel, [](Channel& known) -> isthmus_result {
    const auto ok = known.hold();
    return ok ? ISTHMUS_OK : failed(ok.error());
  });
}

isthmus_result isthmus_channel_flush(isthmus_channel* channel) {
  return with_channel(channel, [](Channel& known) -> isthmus_result {
    const auto ok = known.flush();
    return ok ? ISTHMUS_OK : failed(ok.error());
  });
}

isthmus_result isthmus_channel_submit(isthmus_channel* channel, const isthmus_message* request, void* buffer,
                                      size_t buffer_size, int64_t timeout_ns, isthmus_call_id* call) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    Message message;
    if (const auto result = read_request(request, message); result != ISTHMUS_OK) {
      return result;
    }
    if (call == nullptr || (buffer == nullptr && buffer_size != 0)) {
      return invalid("isthmus_channel_submit: NULL");
    }
    const auto id = known.submit(message, bytes(buffer, buffer_size), deadline(timeout_ns));
    if (!id) {
      return failed(id.error());
    }
    *call = static_cast<isthmus_call_id>(*id);
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_poll(isthmus_channel* channel, isthmus_call_id call, isthmus_reply* reply,
                                    int* answered) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    if (const auto result = check_size(reply, "reply"); result != ISTHMUS_OK) {
      return result;
    }
    if (answered == nullptr) {
      return invalid("isthmus_channel_poll: NULL");
    }
    const auto answer = known.poll(static_cast<CallId>(call));
    if (!answer) {
      return failed(answer.error());
    }
    if (*answer) {
      write_reply(**answer, reply);
    }
    *answered = answer->has_value() ? 1 : 0;
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_wait(isthmus_channel* channel, isthmus_call_id call, int64_t timeout_ns,
                                    isthmus_reply* reply) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    if (const auto result = check_size(reply, "reply"); result != ISTHMUS_OK) {
      return result;
    }
    const auto answer = known.wait(static_cast<CallId>(call), deadline(timeout_ns));
    if (!answer) {
      return failed(answer.error());
    }
    write_reply(*answer, reply);
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_cancel(isthmus_channel* channel, isthmus_call_id call, int* may_still_run) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    const auto running = known.cancel(static_cast<CallId>(call));
    if (!running) {
      return failed(running.error());
    }
    if (may_still_run != nullptr) {
      *may_still_run = *running ? 1 : 0;
    }
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_keep(isthmus_channel* channel, isthmus_frame* frame) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    auto taken = frames.take(number(frame));
    if (!taken) {
      return invalid(bad_frame);
    }
    known.keep(std::move(*taken));
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_completion_fd(isthmus_channel* channel, int* fd) {
  return with_channel(channel, [&](Channel& known) -> isthmus_result {
    if (fd == nullptr) {
      return invalid("isthmus_channel_completion_fd: NULL");
    }
    const auto made = known.completion_fd();
    if (!made) {
      return failed(made.error());
    }
    *fd = *made;
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_channel_get_counts(isthmus_channel* channel, isthmus_channel_counts* counts) {
  return with_channel(channel, [&](Channel& known) {
    if (const auto result = check_size(counts, "channel_counts"); result != ISTHMUS_OK) {
      return result;
    }
    const ChannelStatistics now = known.statistics();
    write_struct({.struct_size = 0,
                  .reserved = 0,
                  .calls = now.calls,
                  .posts = now.posts,
                  .doorbells = now.doorbells,
                  .dropped_replies = now.dropped_replies},
                 counts);
    return isthmus_result{ISTHMUS_OK};
  });
}

isthmus_result isthmus_frame_allocate(isthmus_lane* lane, size_t size, isthmus_frame** frame) {
  return with_lane(lane, [&](OpenLane& known) -> isthmus_result {
    if (frame == nullptr) {
      return invalid("isthmus_frame_allocate: NULL");
    }
    auto allocated = known.lane.allocate(size);
    if (!allocated) {
      return failed(allocated.error());
    }
    const auto handle = frames.put(std::move(*allocated));
    if (!handle) {
      return failed(ISTHMUS_EXHAUSTED, "no handle is left for a frame");
    }
    *frame = disguise<isthmus_frame>(*handle);
    return ISTHMUS_OK;
  });
}

isthmus_result isthmus_frame_free(isthmus_frame* frame) {
  return guarded([&]() -> isthmus_result {
    return frame == nullptr || frames.take(number(frame)) ? ISTHMUS_OK : invalid(bad_frame);
  });
}

void* isthmus_frame_data(isthmus_frame* frame) {
  const Frame* const known = frames.find(number(frame));
  return known != nullptr ? known->data() : nullptr;
}

size_t isthmus_frame_size(isthmus_frame* frame) {
  const Frame* const known = frames.find(number(frame));
  return known != nullptr ? known->size() : 0;
}

isthmus_result isthmus_frame_reference(isthmus_frame* frame, size_t offset, size_t length,
                                       isthmus_reference* reference) {
  return guarded([&]() -> isthmus_result {
    const Frame* const known = frames.find(number(frame));
    if (known == nullptr) {
      return invalid(bad_frame);
    }
    if (reference == nullptr) {
      return invalid("isthmus_frame_reference: NULL");
    }
    if (offset > known->size() || length > known->size() - offset) {
      return invalid(
          text("frame of ", known->size(), " bytes: ", length, " bytes from ", offset, " on are not within it"));
    }
    *reference = std::bit_cast<isthmus_reference>(known->reference(offset, length));
    return ISTHMUS_OK;
  });
}

}  // extern "C"
