// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/worker_process.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction and kill are POSIX, not C++
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <tuple>
#include <utility>
#include <vector>

#include "host/daemon/log.hpp"
#include "src/transport/region.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {

static_assert(DeviceMemoryDesk::usual_patience > WorkerProcess::grace);

namespace {

const char* kind_of(const WorkerSpec& spec) {
  if (spec.region_fd < 0) {
    return "check";
  }
  return spec.kick_fd >= 0 ? "shm" : "vm";
}

std::string start_of(const WorkerSpec& spec) {
  switch (spec.how) {
    case WorkerSpec::Start::cold:
      return "cold";
    case WorkerSpec::Start::warm:
      return "warm";
    case WorkerSpec::Start::fresh:
    default:
      return spec.lane ? text("fresh=", *spec.lane) : "fresh";
  }
}

struct Sockets {
  UniqueFd ours;
  UniqueFd theirs;
};

Result<Sockets> make_sockets(int flags) {
  std::array<int, 2> pair{-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0, pair.data()) != 0) {
    return fail(Errc::system, text("worker: no socket pair: ", errno_text(errno)));
  }
  return Sockets{.ours = UniqueFd(pair[0]), .theirs = UniqueFd(pair[1])};
}

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::start(EventLoop& loop, const WorkerSpec& spec, Events events) {
  auto control = make_sockets(SOCK_NONBLOCK);
  auto memory = spec.device_memory != nullptr ? make_sockets(0) : Result<Sockets>();
  auto notes = spec.notes != nullptr ? make_sockets(0) : Result<Sockets>();
  for (const auto* made : {&control, &memory, &notes}) {
    if (!*made) {
      return std::unexpected(made->error());
    }
  }
  ChildProcess::Command command{.program = spec.program,
                                .arguments = {std::to_string(spec.lane_count), std::to_string(spec.base_address),
                                              kind_of(spec), spec.huge_pages ? "huge" : "small", start_of(spec)},
                                .environment = spec.confined.environment,
                                .descriptors = {{.source = control->theirs.get(), .target = wire::worker_control_fd}},
                                .identity = spec.confined.identity,
                                .fence = spec.confined.fence != nullptr ? spec.confined.fence->get() : -1,
                                .no_network = spec.confined.no_network};
  for (const PluginFile& plugin : spec.plugins) {
    command.arguments.push_back(text(plugin.name, "=", plugin.path.native()));
  }
  if (spec.region_fd >= 0) {
    command.descriptors.push_back({.source = spec.region_fd, .target = wire::worker_region_fd});
  }
  if (spec.kick_fd >= 0) {
    command.descriptors.push_back({.source = spec.kick_fd, .target = wire::worker_kick_fd});
  }
  if (memory->theirs) {
    command.descriptors.push_back({.source = memory->theirs.get(), .target = wire::worker_memory_fd});
  }
  if (notes->theirs) {
    command.descriptors.push_back({.source = notes->theirs.get(), .target = wire::worker_note_fd});
  }
  auto child = ChildProcess::spawn(command);
  if (!child) {
    return std::unexpected(std::move(child.error()));
  }
  std::unique_ptr<WorkerProcess> worker(
      new WorkerProcess(loop, std::move(*child), std::move(control->ours), std::move(events)));
  if (auto watched = worker->watch(); !watched) {
    return std::unexpected(std::move(watched.error()));
  }
  const auto broken = [self = worker.get()](std::string_view why) { self->kill(std::string(why)); };
  if (memory->ours) {
    worker->desk_ = std::make_unique<DeviceMemoryDesk>(loop, spec.device_memory, std::move(memory->ours), broken);
  }
  if (notes->ours) {
    worker->note_desk_ = std::make_unique<NoteDesk>(loop, spec.notes, std::move(notes->ours), broken);
  }
  return worker;
}

WorkerProcess::WorkerProcess(EventLoop& loop, ChildProcess child, UniqueFd control, Events events)
    : loop_(&loop),
      child_(std::move(child)),
      pid_(child_.pid()),
      control_(std::move(control)),
      events_(std::move(events)) {}

WorkerProcess::~WorkerProcess() {
  for (const auto& token : {control_token_, exit_token_, grace_token_, start_token_}) {
    if (token) {
      loop_->remove(*token);
    }
  }
}

Result<void> WorkerProcess::watch() {
  auto control = loop_->add(control_.get(), EPOLLIN, [this](std::uint32_t) { read_reports(); });
  if (!control) {
    return std::unexpected(std::move(control.error()));
  }
  control_token_ = *control;
  auto exit = loop_->add(child_.pidfd(), EPOLLIN, [this](std::uint32_t) { on_exit(); });
  if (!exit) {
    return std::unexpected(std::move(exit.error()));
  }
  exit_token_ = *exit;
  start_token_ = loop_->call_after(start_patience, [this] {
    start_token_.reset();
    kill(text("it was not ready after ", start_patience.count(), " s", loading_.empty() ? "" : " in which it loaded ",
              loading_));
  });
  return {};
}

bool WorkerProcess::may_log() {
  constexpr std::uint64_t most_lines = 100;
  const auto now = std::chrono::steady_clock::now();
  if (now - minute_ >= std::chrono::minutes(1)) {
    minute_ = now;
    lines_ = 0;
  }
  if (++lines_ == most_lines + 1) {
    log::warn("worker {}: more than {} lines in a minute; the rest of that minute's is left out", pid_, most_lines);
  }
  return lines_ <= most_lines;
}

void WorkerProcess::tell(wire::Order order) {
  std::ignore = send(control_.get(), &order, sizeof order, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void WorkerProcess::serve() { tell(wire::Order::serve); }

void WorkerProcess::stop() {
  if (grace_token_) {
    return;
  }
  tell(wire::Order::stop);
  leaves();
  grace_token_ = loop_->call_after(grace, [this] {
    log::warn("worker {}: not gone {} s after it was told to; killing it", pid_, grace.count());
    std::ignore = child_.kill(SIGKILL);
  });
}

void WorkerProcess::kill(std::string reason) {
  killed_ = true;
  orderly_ = false;
  last_word_ = std::move(reason);
  leaves();
  std::ignore = child_.kill(SIGKILL);
}

void WorkerProcess::leaves() {
  if (desk_ != nullptr) {
    desk_->worker_leaves();
  }
}

void WorkerProcess::read_reports() {
  // A little at a time: a worker that floods must not keep the daemon from everybody else.
  constexpr int at_most = 16;
  for (int i = 0; i < at_most; ++i) {
    wire::WorkerReport report;
    const ssize_t got = recv(control_.get(), &report, sizeof report, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    }
    if (got < 0 && errno == ECONNRESET) {
      continue;  // it ended with a word of ours unread; what it said before still comes
    }
    if (got <= 0) {  // hung up; the process's end is reported by its pidfd
      if (control_token_) {
        loop_->remove(*std::exchange(control_token_, std::nullopt));
      }
      return;
    }
    if (got != static_cast<ssize_t>(sizeof report) || report.magic != wire::hello_magic) {
      kill("it sent a malformed report");
      return;
    }
    switch (report.report) {
      case wire::Report::ready:
        loading_.clear();
        if (start_token_) {
          loop_->remove(*std::exchange(start_token_, std::nullopt));
        }
        break;
      case wire::Report::loading:
        loading_ = copy_text(report.text);
        break;
      case wire::Report::warm:
        warmth_ = ", which is warm";
        if (may_log()) {
          log::info("worker {} is warm: {}", pid_, copy_text(report.text));
        }
        break;
      case wire::Report::cold:
        warmth_ = ", which is cold";
        if (may_log()) {
          log::warn("worker {} stays cold: {}", pid_, copy_text(report.text));
        }
        break;
      case wire::Report::taken:
        events_.taken(report.lane);
        break;
      case wire::Report::misfit:
        if (const auto misfit = events_.misfit) {  // a copy: it may be replaced
          misfit(report.lane);
        }
        break;
      case wire::Report::ended:
        leaves();
        if (!killed_) {
          orderly_ = report.orderly != 0;
          last_word_ = copy_text(report.text);
        }
        break;
      case wire::Report::note:
        if (may_log()) {
          log::info("worker {}: {}", pid_, copy_text(report.text));
        }
        break;
      default:
        kill("it sent an unknown report");
        return;
    }
  }
}

void WorkerProcess::on_exit() {
  const auto exit = child_.reap();
  if (!exit || !exit->has_value()) {
    return;
  }
  read_reports();  // its last word may still be in the socket
  for (auto* token : {&control_token_, &exit_token_, &grace_token_, &start_token_}) {
    if (*token) {
      loop_->remove(**token);
      token->reset();
    }
  }
  desk_.reset();
  note_desk_.reset();
  const auto gone = std::move(events_.gone);
  const bool orderly = orderly_;
  const std::string why =
      last_word_ ? *last_word_
                 : text("its worker died: ", (*exit)->to_text(), loading_.empty() ? "" : " while it loaded ", loading_);
  gone(orderly, why);  // may destroy this object
}

}  // namespace isthmus::host
