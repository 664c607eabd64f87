// SPDX-License-Identifier: Apache-2.0
// What a worker finds when it starts: the tests of ChildProcess start this. First argument:
//   report    writes the facts to descriptor 3, one "key value" a line
//   exit N    ends with that status
//   abort     ends by a signal
//   sleep     stays until it is killed
#include <dirent.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): POSIX signals, not C++'s
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

namespace {

std::set<int> descriptors() {
  std::set<int> open;
  if (DIR* directory = ::opendir("/proc/self/fd"); directory != nullptr) {
    while (const dirent* entry = ::readdir(directory)) {
      if (entry->d_name[0] != '.') {
        open.insert(std::atoi(entry->d_name));  // NOLINT(bugprone-unchecked-string-to-number-conversion)
      }
    }
    open.erase(::dirfd(directory));
    ::closedir(directory);
  }
  return open;
}

std::string link_of(const std::string& path) {
  std::array<char, 256> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  return size < 0 ? "?" : std::string(target.data(), static_cast<std::size_t>(size));
}

int odd_signals() {
  int odd = 0;
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    struct sigaction action{};
    if (sigaction(signal, nullptr, &action) == 0 && (action.sa_handler != SIG_DFL || sigismember(&mask, signal) == 1)) {
      ++odd;
    }
  }
  return odd;
}

// Names of the network's devices, in the namespace of this process.
std::string network_devices() {
  std::string names;
  if (std::FILE* devices = std::fopen("/proc/self/net/dev", "re"); devices != nullptr) {
    std::array<char, 256> line{};
    while (std::fgets(line.data(), line.size(), devices) != nullptr) {
      const std::string_view text(line.data());
      const std::size_t colon = text.find(':');
      const std::size_t start = text.find_first_not_of(' ');
      if (colon != std::string_view::npos && start < colon) {
        names.append(names.empty() ? "" : ",").append(text.substr(start, colon - start));
      }
    }
    static_cast<void>(std::fclose(devices));
  }
  return names;
}

int report(int argc, char** argv) {
  std::string facts;
  std::string numbers;
  for (const int fd : descriptors()) {
    const std::string number = std::to_string(fd);
    numbers.append(numbers.empty() ? "" : ",").append(number);
    facts.append("descriptor " + number + " " + link_of("/proc/self/fd/" + number) + "\n");
  }
  facts.append("descriptors " + numbers + "\n");
  for (int i = 2; i < argc; ++i) {
    facts.append("argument ").append(argv[i]).append("\n");
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    facts.append("environment ").append(*variable).append("\n");
  }
  int death_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  rlimit processes{};
  ::getrlimit(RLIMIT_NPROC, &processes);
  std::array<gid_t, 64> groups{};
  const int group_count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  std::string group_list;
  for (int i = 0; i < group_count; ++i) {
    group_list.append(i == 0 ? "" : ",").append(std::to_string(groups.at(static_cast<std::size_t>(i))));
  }
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  ::getresuid(&real, &effective, &saved);
  facts.append("users " + std::to_string(real) + "," + std::to_string(effective) + "," + std::to_string(saved) + "\n");
  facts.append("group " + std::to_string(::getgid()) + "\n");
  facts.append("groups " + group_list + "\n");
  facts.append("process_limit " + std::to_string(processes.rlim_max) + "\n");
  facts.append("network " + network_devices() + "\n");
  const mode_t mask = ::umask(0);
  facts.append("directory " + link_of("/proc/self/cwd") + "\n");
  facts.append("death_signal " + std::to_string(death_signal) + "\n");
  facts.append("no_new_privs " + std::to_string(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) + "\n");
  facts.append("own_session " + std::to_string(static_cast<int>(::getsid(0) == ::getpid())) + "\n");
  facts.append("umask " + std::to_string(mask) + "\n");
  facts.append("core_limit " + std::to_string(core.rlim_max) + "\n");
  facts.append("odd_signals " + std::to_string(odd_signals()) + "\n");
  return ::write(3, facts.data(), facts.size()) == static_cast<ssize_t>(facts.size()) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "report") {
    return report(argc, argv);
  }
  if (what == "exit" && argc > 2) {
    return std::atoi(argv[2]);  // NOLINT(bugprone-unchecked-string-to-number-conversion)
  }
  if (what == "abort") {
    ::raise(SIGABRT);
  }
  if (what == "sleep") {
    while (true) {
      ::pause();
    }
  }
  return 99;
}
