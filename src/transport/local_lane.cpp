// SPDX-License-Identifier: Apache-2.0
#include "isthmus/local_lane.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <optional>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "src/transport/claim.hpp"
#include "src/transport/daemon_protocol.hpp"
#include "src/transport/deadline.hpp"
#include "src/transport/format_region.hpp"
#include "src/transport/lane_state.hpp"
#include "src/transport/text.hpp"
#include "src/transport/unique_fd.hpp"

namespace isthmus {
namespace {

constexpr std::chrono::seconds patience{5};  // with a worker that was told to end

/// The client's end of the socket between the two: each side's death is the other's end of file, and the worker's last
/// words (wire::WorkerReport) come through it.
class Control {
 public:
  explicit Control(UniqueFd socket) noexcept : socket_(std::move(socket)) {}

  void tell_to_end() noexcept { shutdown(socket_.get(), SHUT_WR); }
  void forget() noexcept { socket_.reset(); }
  /// Whether the worker has ended, after so long a wait.
  [[nodiscard]] bool ended(std::chrono::milliseconds wait) const noexcept { return wait_readable(socket_.get(), wait); }
  /// How the worker ended; nothing while it lives.
  [[nodiscard]] std::optional<LaneEnd> last_words() const {
    wire::WorkerReport report;
    const ssize_t got = recv(socket_.get(), &report, sizeof report, MSG_DONTWAIT | MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return std::nullopt;
    }
    if (got == static_cast<ssize_t>(sizeof report) && report.magic == wire::hello_magic) {
      return LaneEnd{.orderly = report.orderly != 0, .reason = copy_text(report.text)};
    }
    return LaneEnd{.orderly = false, .reason = "the worker died"};
  }

 private:
  UniqueFd socket_;
};

class LocalLink final : public Link {
 public:
  LocalLink(std::shared_ptr<Control> control, UniqueFd kick) noexcept
      : control_(std::move(control)), kick_(std::move(kick)) {}

  void kick() noexcept override { static_cast<void>(eventfd_write(kick_.get(), 1)); }
  Result<void> check_host() override {
    const auto end = control_->last_words();
    return end ? Result<void>(fail(Errc::peer_died, text("the local lane is over: ", end->reason))) : Result<void>();
  }
  bool shares_kernel() const noexcept override { return true; }
  void forget_in_child() noexcept override { control_->forget(); }

 private:
  std::shared_ptr<Control> control_;
  UniqueFd kick_;
};

/// What a worker has of its lane.
struct WorkerEnd {
  UniqueFd region;
  UniqueFd kick;
  UniqueFd control;

  [[nodiscard]] LaneEnd serve(Service& service) const {
    auto server = LaneServer::open(region.get(), {.control_fd = control.get(), .kick_fd = kick.get()});
    if (!server) {
      return {.orderly = false, .reason = server.error().message};
    }
    const auto lane = server->wait_for_claim();
    return lane ? server->serve(service) : LaneEnd{.orderly = false, .reason = lane.error().message};
  }
  void tell(const LaneEnd& end) const noexcept {
    wire::WorkerReport report{.report = wire::Report::ended, .orderly = end.orderly ? 1U : 0U};
    std::copy_n(end.reason.begin(), std::min(end.reason.size(), report.text.size() - 1), report.text.begin());
    static_cast<void>(send(control.get(), &report, sizeof report, MSG_NOSIGNAL));
  }
};

[[noreturn]] void be_the_worker(const WorkerEnd& worker, const LocalLane::MakeService& make) noexcept {
  LaneEnd end;
  try {
    const auto service = make();
    end = worker.serve(*service);
  } catch (const std::exception& error) {
    end = {.orderly = false, .reason = error.what()};
  } catch (...) {
    end = {.orderly = false, .reason = "the service threw something"};
  }
  worker.tell(end);
  _exit(end.orderly ? 0 : 1);  // what the parent registered to run at exit is not this process's
}

std::unexpected<Error> failed(Errc code, std::string_view what) {
  return fail(code, text("local lane: ", what, ": ", errno_text(errno)));
}

struct Ends {
  UniqueFd region;
  UniqueFd kick;
  UniqueFd control;
  WorkerEnd worker;
};

Result<Ends> make_ends(const LocalLaneOptions& options) {
  const RegionSpec spec{.name = "local", .size = options.region_size, .lane_count = 1};
  UniqueFd region(memfd_create("isthmus:local", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!region) {
    return failed(Errc::system, "memfd_create");
  }
  // format_region checks the size before it writes; the file grows only afterwards to what was asked for.
  if (options.region_size <= abi::max_region_size &&
      ftruncate(region.get(), static_cast<off_t>(options.region_size)) != 0) {
    return failed(Errc::exhausted, text("a region of ", Bytes{options.region_size}));
  }
  if (auto formatted = format_region(region.get(), spec); !formatted) {
    return std::unexpected(std::move(formatted.error()));
  }
  if (fallocate(region.get(), 0, 0, static_cast<off_t>(options.region_size)) != 0) {
    return failed(Errc::exhausted, text("a region of ", Bytes{options.region_size}));
  }
  if (fcntl(region.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failed(Errc::system, "the region cannot be sealed");
  }
  if (auto present = set_daemon_present(region.get(), true); !present) {
    return std::unexpected(std::move(present.error()));
  }
  std::array<int, 2> sockets{-1, -1};
  UniqueFd kick(eventfd(0, EFD_CLOEXEC));
  if (!kick || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    return failed(Errc::exhausted, "no descriptor");
  }
  Ends ends{.region = std::move(region), .kick = std::move(kick), .control = UniqueFd(sockets[0]), .worker = {}};
  ends.worker.control = UniqueFd(sockets[1]);
  ends.worker.region = UniqueFd(fcntl(ends.region.get(), F_DUPFD_CLOEXEC, 0));
  ends.worker.kick = UniqueFd(fcntl(ends.kick.get(), F_DUPFD_CLOEXEC, 0));
  if (!ends.worker.region || !ends.worker.kick) {
    return failed(Errc::exhausted, "no descriptor");
  }
  return ends;
}

}  // namespace

struct LocalLane::Impl {
  explicit Impl(UniqueFd socket) : control(std::make_shared<Control>(std::move(socket))) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  Impl(Impl&&) = delete;
  Impl& operator=(Impl&&) = delete;
  ~Impl() {
    if (mark.is_this_process()) {
      end();
    } else {
      // It exists in the parent only: it can be neither joined nor detached here, nor destroyed.
      std::ignore = thread.release();
    }
  }

  [[nodiscard]] Result<void> attach(UniqueFd region, UniqueFd kick, const LocalLaneOptions& options);
  void end();

  ProcessMark mark = ProcessMark::current();
  std::shared_ptr<Control> control;
  std::optional<Lane> lane;
  std::weak_ptr<LaneState> state;
  std::unique_ptr<std::thread> thread;
  pid_t child = -1;
  std::optional<LaneEnd> over;
};

Result<void> LocalLane::Impl::attach(UniqueFd region, UniqueFd kick, const LocalLaneOptions& options) {
  auto mapped = Region::open_as_client(region.get(), options.region_size, "local lane");
  if (!mapped) {
    return std::unexpected(std::move(mapped.error()));
  }
  if (auto claimed = claim_lane(*mapped, 0); !claimed) {
    return claimed;
  }
  auto made =
      LaneState::begin(std::move(*mapped), 0, std::make_unique<LocalLink>(control, std::move(kick)), options.timeout);
  if (!made) {
    return std::unexpected(std::move(made.error()));
  }
  state = *made;
  lane = Lane::of(std::move(*made));
  return {};
}

void LocalLane::Impl::end() {
  if (over) {
    return;
  }
  const bool attached = lane.has_value();
  lane.reset();
  // A worker whose lane nobody took waits for that; and a frame that somebody still holds keeps the lane claimed.
  if (!attached || !state.expired() || !control->ended(patience)) {
    control->tell_to_end();
  }
  if (child >= 0) {
    if (!control->ended(patience)) {
      kill(child, SIGKILL);
    }
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (thread != nullptr) {
    thread->join();
  }
  over = control->last_words().value_or(LaneEnd{.orderly = false, .reason = "the worker did not start"});
}

Result<LocalLane> LocalLane::in_thread(Service& service, const LocalLaneOptions& options) {
  auto ends = make_ends(options);
  if (!ends) {
    return std::unexpected(std::move(ends.error()));
  }
  auto impl = std::make_unique<Impl>(std::move(ends->control));
  try {
    impl->thread = std::make_unique<std::thread>(
        [&service, worker = std::move(ends->worker)] { worker.tell(worker.serve(service)); });
  } catch (const std::system_error& error) {
    return fail(Errc::exhausted, text("local lane: no thread for the worker: ", error.what()));
  }
  if (auto attached = impl->attach(std::move(ends->region), std::move(ends->kick), options); !attached) {
    return std::unexpected(std::move(attached.error()));
  }
  return LocalLane(std::move(impl));
}

Result<LocalLane> LocalLane::in_child(const MakeService& make, const LocalLaneOptions& options) {
  auto ends = make_ends(options);
  if (!ends) {
    return std::unexpected(std::move(ends.error()));
  }
  const pid_t child = fork();
  if (child < 0) {
    return failed(Errc::exhausted, "fork");
  }
  if (child == 0) {
    ends->control.reset();
    be_the_worker(ends->worker, make);
  }
  auto impl = std::make_unique<Impl>(std::move(ends->control));
  impl->child = child;
  ends->worker = {};
  if (auto attached = impl->attach(std::move(ends->region), std::move(ends->kick), options); !attached) {
    return std::unexpected(std::move(attached.error()));
  }
  return LocalLane(std::move(impl));
}

LocalLane::LocalLane(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
LocalLane::LocalLane(LocalLane&&) noexcept = default;
LocalLane& LocalLane::operator=(LocalLane&&) noexcept = default;
LocalLane::~LocalLane() = default;

Lane& LocalLane::lane() noexcept { return *impl_->lane; }
int LocalLane::worker_pid() const noexcept { return impl_->child; }

LaneEnd LocalLane::end() {
  impl_->end();
  return *impl_->over;
}

}  // namespace isthmus
