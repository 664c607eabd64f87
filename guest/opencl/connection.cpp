// SPDX-License-Identifier: Apache-2.0
#include "guest/opencl/connection.hpp"

#include <array>
#include <chrono>
#include <tuple>
#include <utility>

#include "guest/frontend_environment.hpp"
#include "src/transport/process_mark.hpp"

namespace isthmus::opencl {
namespace {

std::atomic<Connection*> the_connection{nullptr};

const ProcessMark& owner() {
  static const ProcessMark mark = ProcessMark::current();
  return mark;
}

void explain(const Error& error) { frontend::explain("isthmus-opencl", error); }

constexpr std::chrono::seconds patience_for_memory{2};  // for the next of the released buffers that are still used
// A worker loads drivers before it takes a lane; on a busy machine that takes seconds.
constexpr std::chrono::seconds patience_for_host{20};
constexpr std::size_t most_devices = 1024;

}  // namespace

Connection::Connection(Lane lane) : lane_(std::move(lane)), synchronous_(frontend::is_switched_on("ISTHMUS_SYNC")) {}

Connection* Connection::get() noexcept {
  Connection* connection = the_connection.load(std::memory_order_acquire);
  return connection != nullptr && owner().is_this_process() ? connection : nullptr;
}

Connection* Connection::open() {
  if (!owner().is_this_process()) {
    return nullptr;
  }
  if (Connection* connection = get(); connection != nullptr) {
    return connection;
  }
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (Connection* connection = get(); connection != nullptr) {
    return connection;
  }
  auto lane = Lane::attach(frontend::endpoint(), {.timeout = patience_for_host});
  if (!lane) {
    explain(lane.error());
    return nullptr;
  }
  // Not destroyed on the way out: its upcall thread may be at work in it.
  auto* const connection = new Connection(std::move(*lane));
  if (const auto started = connection->start(); !started) {
    explain(started.error());
    return nullptr;
  }
  the_connection.store(connection, std::memory_order_release);
  return connection;
}

Result<void> Connection::start() {
  upcalls_.on<HostTurn>([this](const HostTurn::Request& request, marshal::Call&) -> Expected<Nothing> {
    on_turn(request);
    return Nothing{};
  });
  upcalls_.on<EventReached>([this](const EventReached::Request& request, marshal::Call&) -> Expected<Nothing> {
    on_event(request);
    return Nothing{};
  });
  upcalls_.on<MemoryReleased>([this](const MemoryReleased::Request& request, marshal::Call&) -> Expected<Nothing> {
    on_released(request.id);
    return Nothing{};
  });
  if (auto served = lane_.serve_upcalls(upcalls_); !served) {
    return served;
  }
  memory_ = lane_.slab_statistics().bytes_claimable;
  std::array<DeviceRow, most_devices> rows;
  const auto found = call<Discover>({}, {}, std::as_writable_bytes(std::span(rows)));
  if (!found) {
    return fail(Errc::unsupported, "the worker offers no OpenCL; ask for plugins = [\"opencl\"] in isthmusd.toml");
  }
  compare_addresses();
  devices_.assign(rows.begin(), rows.begin() + std::min<std::size_t>(found->trailing / sizeof(DeviceRow), rows.size()));
  return {};
}

void Connection::compare_addresses() {
  const auto frame = lane_.allocate(1);
  const auto window = call<FindWindow>({});
  shares_addresses_ =
      frame && window &&
      reinterpret_cast<std::uintptr_t>(frame->data()) - frame->reference().offset() == window->reply.address;
}

std::unexpected<cl_int> Connection::lost(const Error& error) {
  explain(error);
  return std::unexpected(CL_OUT_OF_RESOURCES);
}

cl_int Connection::code_of(std::int32_t status) noexcept {
  const bool unknown = status == status_unhandled || status == marshal::status_unknown_fields;
  return unknown ? CL_INVALID_OPERATION : status;
}

Expected<std::vector<std::byte>> Connection::query(Subject subject, std::uint32_t parameter, Id object,
                                                   std::uint64_t detail) {
  std::vector<std::byte> answer;
  std::array<std::byte, 32 * 1024> part;
  for (;;) {
    const auto got = call<Query>(
        {.subject = subject, .parameter = parameter, .object = object, .detail = detail, .offset = answer.size()}, {},
        part);
    if (!got) {
      return std::unexpected(got.error());
    }
    answer.insert(answer.end(), part.begin(), part.begin() + got->trailing);
    if (answer.size() >= got->reply.total || got->trailing == 0) {
      return answer;
    }
  }
}

Expected<Frame> Connection::allocate(std::size_t bytes) {
  for (;;) {
    if (auto frame = lane_.allocate(bytes)) {
      return std::move(*frame);
    }
    std::unique_lock lock(mutex_);
    const std::size_t graves = graves_.size();
    if (graves == 0 || !released_.wait_for(lock, patience_for_memory, [&] { return graves_.size() < graves; })) {
      return std::unexpected(CL_MEM_OBJECT_ALLOCATION_FAILURE);
    }
  }
}

void Connection::bury(Id buffer, Frame frame, std::shared_ptr<SharedBlock> block) {
  const std::scoped_lock lock(mutex_);
  graves_.insert_or_assign(buffer, Grave{.frame = std::move(frame), .block = std::move(block)});
}

void Connection::on_released(Id id) {
  Grave opened;
  {
    const std::scoped_lock lock(mutex_);
    const auto grave = graves_.find(id);
    if (grave == graves_.end()) {
      return;  // the host says so of a buffer that is in use: it is not believed
    }
    opened = std::move(grave->second);
    graves_.erase(grave);
  }
  opened = Grave{};
  released_.notify_all();
}

void Connection::expect_turn(Id turn, std::function<void()> work, TurnBy by) {
  const std::scoped_lock lock(mutex_);
  turns_.insert_or_assign(turn, Turn{.work = std::move(work), .by = by});
}

void Connection::forget_turn(Id turn) {
  const std::scoped_lock lock(mutex_);
  turns_.erase(turn);
}

void Connection::on_turn(const HostTurn::Request& request) {
  Turn turn;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = turns_.find(request.turn);
    if (found == turns_.end()) {
      return;
    }
    turn = std::move(found->second);
    turns_.erase(found);
  }
  TaskThread& thread = turn.by == TurnBy::callback ? callbacks_ : copies_;
  thread.push([this, work = std::move(turn.work), turn = request.turn, status = request.status] {
    if (status == CL_COMPLETE) {
      work();
      std::ignore = post<HostDone>({.turn = turn, .status = CL_COMPLETE});
    }
  });
}

std::uint64_t Connection::expect_event(std::function<void(cl_int)> callback) {
  const std::uint64_t token = new_id();
  const std::scoped_lock lock(mutex_);
  watches_.insert_or_assign(token, std::move(callback));
  return token;
}

void Connection::forget_event(std::uint64_t token) {
  const std::scoped_lock lock(mutex_);
  watches_.erase(token);
}

void Connection::on_event(const EventReached::Request& request) {
  std::function<void(cl_int)> callback;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = watches_.find(request.token);
    if (found == watches_.end()) {
      return;
    }
    callback = std::move(found->second);
    watches_.erase(found);
  }
  callbacks_.push([callback = std::move(callback), status = request.status] { callback(status); });
}

}  // namespace isthmus::opencl
