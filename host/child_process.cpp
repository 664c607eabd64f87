// SPDX-License-Identifier: Apache-2.0
#include "host/child_process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX signals, not C++'s
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "host/pidfd.hpp"
#include "host/system_error.hpp"
#include "src/transport/text.hpp"

namespace isthmus::host {
namespace {

constexpr int max_target = 1023;
constexpr auto wait_by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, Linux 5.4

/// What the child was doing when it failed.
enum class Step : int { fence, network, identity, isolate, descriptors, directory, execute };

struct Failure {
  Step step;
  int error;
};

std::string_view step_text(Step step) {
  switch (step) {
    case Step::fence:
      return "cannot be kept to its files";
    case Step::network:
      return "cannot be cut off from the network";
    case Step::identity:
      return "cannot become another user";
    case Step::isolate:
      return "cannot be isolated";
    case Step::descriptors:
      return "cannot be given its descriptors";
    case Step::directory:
      return "cannot change to /";
    case Step::execute:
      break;
  }
  return "cannot be executed";
}

/// Everything that the child needs, allocated before the fork: afterwards it makes system calls only.
struct Plan {
  const char* program = nullptr;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  std::vector<ChildProcess::FdMapping> descriptors;  ///< ordered by target; 0, 1 and 2 are among them
  std::vector<int> parked;                           ///< one for each of `descriptors`
  int failure_pipe = -1;
  pid_t parent = 0;
  const ChildProcess::Identity* identity = nullptr;
  int fence = -1;
  bool no_network = false;
};

[[noreturn]] void give_up(int failure_pipe, Step step) {
  const Failure failure{step, errno};
  [[maybe_unused]] const ssize_t written = ::write(failure_pipe, &failure, sizeof failure);
  ::_exit(127);
}

bool take_identity(const ChildProcess::Identity& identity) {
  // Bounds what a process that was taken over can start; 64 lanes of 256 channels each stay far below.
  const rlimit processes{32768, 32768};
  // By system call: the C library's functions would look for other threads, which a forked child does not have.
  return ::setrlimit(RLIMIT_NPROC, &processes) == 0 &&
         ::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) == 0 &&
         ::syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) == 0 &&
         ::syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) == 0;
}

bool isolate(pid_t parent) {
  if (::setsid() < 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return false;
  }
  if (::getppid() != parent) {  // it died before it was asked to take us along
    ::_exit(127);
  }
  ::umask(077);
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) {
    return false;
  }
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;  // NOLINT: the macro's cast is the system's
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    sigaction(signal, &standard, nullptr);  // the C library and the kernel refuse some, which need none
  }
  sigset_t empty;
  sigemptyset(&empty);
  return ::sigprocmask(SIG_SETMASK, &empty, nullptr) == 0;
}

/// Leaves the mapped descriptors and the failure pipe, which moves, and closes all others.
bool arrange_descriptors(Plan& plan) {
  // First everything out of the way of the targets, so that no source is overwritten before it was read.
  const int above = plan.descriptors.back().target + 1;
  const int pipe = ::fcntl(plan.failure_pipe, F_DUPFD_CLOEXEC, above);
  if (pipe < 0) {
    return false;
  }
  plan.failure_pipe = pipe;
  for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
    plan.parked[i] = ::fcntl(plan.descriptors[i].source, F_DUPFD_CLOEXEC, above);
    if (plan.parked[i] < 0) {
      return false;
    }
  }
  unsigned next = 0;
  for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
    const auto target = static_cast<unsigned>(plan.descriptors[i].target);
    if (::dup2(plan.parked[i], plan.descriptors[i].target) < 0 ||  // leaves close-on-exec behind
        (target > next && ::close_range(next, target - 1, 0) != 0)) {
      return false;
    }
    next = target + 1;
  }
  const auto kept = static_cast<unsigned>(pipe);
  return (kept == next || ::close_range(next, kept - 1, 0) == 0) && ::close_range(kept + 1, ~0U, 0) == 0;
}

[[noreturn]] void become(Plan& plan) {
  // First, while the descriptor is there. The kernel wants it from those that can gain no privileges.
  if (plan.fence >= 0 &&
      (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_landlock_restrict_self, plan.fence, 0) != 0)) {
    give_up(plan.failure_pipe, Step::fence);
  }
  if (!arrange_descriptors(plan)) {
    give_up(plan.failure_pipe, Step::descriptors);
  }
  if (plan.no_network && ::unshare(CLONE_NEWNET) != 0) {
    give_up(plan.failure_pipe, Step::network);
  }
  int program = -1;
  if (plan.identity != nullptr) {
    program = ::open(plan.program, O_PATH | O_CLOEXEC);  // while we may still look everywhere
    if (program < 0) {
      give_up(plan.failure_pipe, Step::execute);
    }
    if (!take_identity(*plan.identity)) {
      give_up(plan.failure_pipe, Step::identity);
    }
  }
  // After the identity: the kernel forgets the death signal when that changes.
  if (!isolate(plan.parent)) {
    give_up(plan.failure_pipe, Step::isolate);
  }
  if (::chdir("/") != 0) {
    give_up(plan.failure_pipe, Step::directory);
  }
  if (program >= 0) {
    ::syscall(SYS_execveat, program, "", plan.arguments.data(), plan.environment.data(), AT_EMPTY_PATH);
  } else {
    ::execve(plan.program, plan.arguments.data(), plan.environment.data());
  }
  give_up(plan.failure_pipe, Step::execute);
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& one : strings) {
    pointers.push_back(one.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

Result<std::vector<ChildProcess::FdMapping>> complete(const std::vector<ChildProcess::FdMapping>& wanted,
                                                      int null_device, const std::string& label) {
  std::vector<ChildProcess::FdMapping> all = wanted;
  for (int standard = 0; standard <= 2; ++standard) {
    if (std::ranges::find(wanted, standard, &ChildProcess::FdMapping::target) == wanted.end()) {
      all.push_back({null_device, standard});
    }
  }
  std::ranges::sort(all, {}, &ChildProcess::FdMapping::target);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].target < 0 || all[i].target > max_target) {
      return fail(Errc::invalid_argument,
                  text(label, ": descriptor ", all[i].target, " is out of range; 0 to ", max_target, " is possible"));
    }
    if (i > 0 && all[i].target == all[i - 1].target) {
      return fail(Errc::invalid_argument, text(label, ": descriptor ", all[i].target, " is given twice"));
    }
  }
  return all;
}

}  // namespace

std::string ChildProcess::Exit::to_text() const {
  if (!by_signal) {
    return text("exit status ", value);
  }
  const char* name = ::sigdescr_np(value);
  return text("signal ", value, " (", name != nullptr ? name : "unknown", ")");
}

Result<ChildProcess> ChildProcess::spawn(const Command& command) {
  const std::string label = text("worker ", command.program.native());
  if (!command.program.is_absolute()) {
    return fail(Errc::invalid_argument, text(label, ": the path must be absolute"));
  }
  const UniqueFd null_device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null_device) {
    return fail_errno(errno, "/dev/null");
  }
  auto descriptors = complete(command.descriptors, null_device.get(), label);
  if (!descriptors) {
    return std::unexpected(std::move(descriptors).error());
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, text(label, ": pipe2"));
  }
  const UniqueFd failure_reader(ends[0]);
  UniqueFd failure_writer(ends[1]);

  std::vector<std::string> arguments{command.program.native()};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = command.environment;
  Plan plan;
  plan.program = command.program.c_str();
  plan.arguments = pointers_to(arguments);
  plan.environment = pointers_to(environment);
  plan.descriptors = std::move(*descriptors);
  plan.parked.resize(plan.descriptors.size());
  plan.failure_pipe = failure_writer.get();
  plan.parent = ::getpid();
  plan.identity = command.identity ? &*command.identity : nullptr;
  plan.fence = command.fence;
  plan.no_network = command.no_network;

  // No handler of ours may run in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) {
    become(plan);
  }
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    return fail_errno(fork_error, text(label, ": fork"));
  }
  failure_writer.reset();

  ChildProcess child(pid, open_pidfd(pid));
  if (!child.pidfd_) {
    return fail_errno(errno, text(label, ": pidfd_open"));
  }
  // Ends with nothing when exec closes the pipe.
  Failure failure{};
  ssize_t size = 0;
  do {
    size = ::read(failure_reader.get(), &failure, sizeof failure);
  } while (size < 0 && errno == EINTR);
  if (size == static_cast<ssize_t>(sizeof failure)) {
    return fail_errno(failure.error, text(label, ": ", step_text(failure.step)));
  }
  return child;
}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, 0);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

ChildProcess::~ChildProcess() { end(); }

void ChildProcess::end() noexcept {
  if (pid_ == 0) {
    return;
  }
  ::kill(pid_, SIGKILL);  // not reaped yet, so the number is still its own
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

Result<void> ChildProcess::kill(int signal) const {
  if (pid_ == 0) {
    return fail(Errc::peer_died, "worker: has ended already");
  }
  if (send_signal_to_pidfd(pidfd_.get(), signal) != 0) {
    return fail_errno(errno, text("worker ", pid_, ": signal ", signal));
  }
  return {};
}

Result<std::optional<ChildProcess::Exit>> ChildProcess::reap() {
  if (pid_ == 0) {
    return fail(Errc::peer_died, "worker: has been reaped already");
  }
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(wait_by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    return fail_errno(errno, text("worker ", pid_, ": waitid"));
  }
  if (info.si_pid == 0) {
    return std::nullopt;
  }
  pid_ = 0;
  return Exit{info.si_code != CLD_EXITED, info.si_status};
}

}  // namespace isthmus::host
