// The guest's first process. It mounts what programs expect, loads the kernel modules, and then runs the commands that
// arrive over a virtio-serial port, as many at once as are asked for; what they print and how they end goes back.
//
// Frames, in both directions: 8 bytes magic, 64-bit session, 32-bit job, 32-bit type, 64-bit length, then `length`
// bytes of payload; little-endian. The session is a number that this boot chose. A reset of the machine can cut a
// frame anywhere, and what was sent to the boot before may arrive in this one: whatever does not begin with the magic
// and this boot's session is skipped.

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::string_view control_port_name = "isthmus.control";
constexpr int port_wait_ms = 10'000;
constexpr std::size_t chunk = 32 * 1024;
constexpr std::uint64_t longest_payload = 1024 * 1024;

enum class ToGuest : std::uint32_t { Run = 1, Signal = 2 };
enum class ToHost : std::uint32_t { Hello = 1, Stdout = 2, Stderr = 3, Exit = 4 };

struct Header {
  std::array<char, 8> magic;
  std::uint64_t session;
  std::uint32_t job;
  std::uint32_t type;
  std::uint64_t length;
};
static_assert(sizeof(Header) == 32);

// What the harness wrote into the initramfs: lines "magic TEXT", "module PATH", "port NAME".
struct Settings {
  std::array<char, 8> magic{};
  std::vector<std::string> modules;
  std::vector<std::string> ports;
};

// Without its control channel this process has no one to tell; the kernel's console reaches the harness, which shows
// it. Then the machine resets, which the harness reports.
[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "vm agent: %s: %s\n", what.c_str(), std::strerror(errno));
  reboot(RB_AUTOBOOT);
  _exit(1);
}

void mount_or_give_up(const char* type, const char* where, unsigned long flags) {
  mkdir(where, 0755);
  if (mount(type, where, type, flags, nullptr) != 0) {
    give_up(std::string("mount ") + where);
  }
}

void mount_all() {
  mount_or_give_up("devtmpfs", "/dev", 0);
  // The console that the kernel opened for us stood in the initramfs' own /dev.
  const int console = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (console >= 0) {
    for (int fd = 0; fd < 3; ++fd) {
      dup2(console, fd);
    }
  }
  mount_or_give_up("proc", "/proc", MS_NOSUID);
  mount_or_give_up("sysfs", "/sys", MS_NOSUID);
  mount_or_give_up("tmpfs", "/dev/shm", MS_NOSUID);
  mount_or_give_up("tmpfs", "/run", MS_NOSUID);
  mount_or_give_up("tmpfs", "/tmp", MS_NOSUID);
  chmod("/dev/shm", 01777);
  chmod("/tmp", 01777);
  if (symlink("/proc/self/fd", "/dev/fd") != 0) {
    give_up("/dev/fd");
  }
}

std::string read_file(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return text;
  }
  std::array<char, 4096> block{};
  for (ssize_t n = read(fd, block.data(), block.size()); n > 0; n = read(fd, block.data(), block.size())) {
    text.append(block.data(), static_cast<std::size_t>(n));
  }
  close(fd);
  return text;
}

Settings read_settings() {
  Settings settings;
  const std::string text = read_file("/etc/vm_settings");
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    begin = end == std::string::npos ? text.size() : end + 1;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) {
      continue;
    }
    const std::string key = line.substr(0, space);
    const std::string value = line.substr(space + 1);
    if (key == "magic") {
      std::memcpy(settings.magic.data(), value.data(), std::min(value.size(), settings.magic.size()));
    } else if (key == "module") {
      settings.modules.push_back(value);
    } else if (key == "port") {
      settings.ports.push_back(value);
    }
  }
  return settings;
}

void load_modules(const std::vector<std::string>& modules) {
  for (const std::string& path : modules) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
      give_up("load module " + path);
    }
    close(fd);
  }
}

// The device of a virtio-serial port, or an empty string while the kernel does not know it.
std::string find_port(std::string_view name) {
  std::string found;
  DIR* folder = opendir("/sys/class/virtio-ports");
  if (folder == nullptr) {
    return found;
  }
  for (const dirent* entry = readdir(folder); entry != nullptr; entry = readdir(folder)) {
    const std::string device = entry->d_name;
    std::string its_name = read_file("/sys/class/virtio-ports/" + device + "/name");
    while (!its_name.empty() && its_name.back() == '\n') {
      its_name.pop_back();
    }
    if (!its_name.empty() && its_name == name) {
      found = "/dev/" + device;
      break;
    }
  }
  closedir(folder);
  return found;
}

// Ports appear a moment after their driver is loaded.
std::string wait_for_port(std::string_view name) {
  for (int waited = 0; waited < port_wait_ms; ++waited) {
    std::string device = find_port(name);
    if (!device.empty() && access(device.c_str(), F_OK) == 0) {
      return device;
    }
    usleep(1000);
  }
  errno = ENODEV;
  give_up("virtio-serial port " + std::string(name));
}

// What udev does on a full system: /dev/virtio-ports/NAME.
void name_ports(const std::vector<std::string>& names) {
  mkdir("/dev/virtio-ports", 0755);
  for (const std::string& name : names) {
    const std::string device = wait_for_port(name);
    if (symlink(device.c_str(), ("/dev/virtio-ports/" + name).c_str()) != 0) {
      give_up("/dev/virtio-ports/" + name);
    }
  }
}

// One command. Its pipes may outlive it, where it left children that hold them.
struct Job {
  std::uint32_t id;
  pid_t pid;  // 0 once it has ended
  int out;    // -1 once closed
  int err;
};

class Agent {
 public:
  Agent(int port, const std::array<char, 8>& magic) : port_(port), magic_(magic) {
    if (getrandom(&session_, sizeof session_, 0) != sizeof session_) {
      give_up("getrandom");
    }
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, nullptr);
    child_fd_ = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (child_fd_ < 0) {
      give_up("signalfd");
    }
  }

  [[noreturn]] void serve() {
    send(0, ToHost::Hello, {});
    while (true) {
      std::vector<pollfd> polled{{port_, POLLIN, 0}, {child_fd_, POLLIN, 0}};
      for (const Job& job : jobs_) {
        polled.push_back({job.out, POLLIN, 0});  // poll ignores negative descriptors
        polled.push_back({job.err, POLLIN, 0});
      }
      if (poll(polled.data(), polled.size(), -1) < 0) {
        if (errno == EINTR) {
          continue;
        }
        give_up("poll");
      }
      // Output before exits, so that an exit is the last word on its job.
      for (std::size_t i = 0; i < jobs_.size(); ++i) {
        if (polled[2 + 2 * i].revents != 0) {
          forward(jobs_[i], ToHost::Stdout, jobs_[i].out);
        }
        if (polled[3 + 2 * i].revents != 0) {
          forward(jobs_[i], ToHost::Stderr, jobs_[i].err);
        }
      }
      if (polled[1].revents != 0) {
        reap();
      }
      if ((polled[0].revents & POLLIN) != 0) {
        receive();
      } else if (polled[0].revents != 0) {
        usleep(10'000);  // the harness is gone; QEMU will be, too
      }
      std::erase_if(jobs_, [](const Job& job) { return job.pid == 0 && job.out < 0 && job.err < 0; });
    }
  }

 private:
  void send(std::uint32_t job, ToHost type, std::string_view payload) {
    const Header header{magic_, session_, job, std::to_underlying(type), payload.size()};
    std::string frame(sizeof header, '\0');
    std::memcpy(frame.data(), &header, sizeof header);
    frame.append(payload);
    std::string_view left = frame;
    while (!left.empty()) {
      const ssize_t n = write(port_, left.data(), left.size());
      if (n > 0) {
        left.remove_prefix(static_cast<std::size_t>(n));
      } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        give_up("write to the control port");
      }
    }
  }

  // Sends on what a pipe holds, one chunk; false once it holds nothing or has closed.
  bool forward(const Job& job, ToHost type, int& fd) {
    if (fd < 0) {
      return false;
    }
    std::array<char, chunk> block;
    const ssize_t n = read(fd, block.data(), block.size());
    if (n > 0) {
      send(job.id, type, {block.data(), static_cast<std::size_t>(n)});
      return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      return false;
    }
    close(fd);
    fd = -1;
    return false;
  }

  void reap() {
    signalfd_siginfo ignored{};
    while (read(child_fd_, &ignored, sizeof ignored) > 0) {
    }
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
      for (Job& job : jobs_) {
        if (job.pid != pid) {
          continue;
        }
        while (forward(job, ToHost::Stdout, job.out)) {
        }
        while (forward(job, ToHost::Stderr, job.err)) {
        }
        job.pid = 0;
        send_exit(job.id, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
      }
    }
  }

  void send_exit(std::uint32_t job, int status) {
    std::array<char, sizeof(std::int32_t)> payload{};
    const std::int32_t value = status;
    std::memcpy(payload.data(), &value, sizeof value);
    send(job, ToHost::Exit, {payload.data(), payload.size()});
  }

  void receive() {
    std::array<char, chunk> block;
    const ssize_t n = read(port_, block.data(), block.size());
    if (n <= 0) {
      return;
    }
    inbox_.append(block.data(), static_cast<std::size_t>(n));
    while (take_frame()) {
    }
  }

  bool take_frame() {
    const std::size_t begin = inbox_.find(std::string_view(magic_.data(), magic_.size()));
    if (begin == std::string::npos) {
      // The beginning of a magic may have arrived, its end not.
      if (inbox_.size() >= magic_.size()) {
        inbox_.erase(0, inbox_.size() - (magic_.size() - 1));
      }
      return false;
    }
    inbox_.erase(0, begin);
    Header header{};
    if (inbox_.size() < sizeof header) {
      return false;
    }
    std::memcpy(&header, inbox_.data(), sizeof header);
    if (header.session != session_ || header.length > longest_payload) {
      inbox_.erase(0, magic_.size());
      return true;
    }
    if (inbox_.size() < sizeof header + header.length) {
      return false;
    }
    const std::string payload = inbox_.substr(sizeof header, header.length);
    inbox_.erase(0, sizeof header + header.length);
    if (header.type == std::to_underlying(ToGuest::Run)) {
      run(header.job, payload);
    } else if (header.type == std::to_underlying(ToGuest::Signal)) {
      signal(header.job, payload);
    }
    return true;
  }

  void run(std::uint32_t id, const std::string& command) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (pipe2(out.data(), O_CLOEXEC) != 0) {
      refuse(id, "pipe");
      return;
    }
    if (pipe2(err.data(), O_CLOEXEC) != 0) {
      refuse(id, "pipe");
      close(out[0]);
      close(out[1]);
      return;
    }
    const pid_t pid = fork();
    if (pid == 0) {
      become(command, out[1], err[1]);
    }
    close(out[1]);
    close(err[1]);
    if (pid < 0) {
      refuse(id, "fork");
      close(out[0]);
      close(err[0]);
      return;
    }
    // Ours alone: the command's ends block as every program expects.
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    jobs_.push_back({id, pid, out[0], err[0]});
  }

  void refuse(std::uint32_t id, const char* what) {
    send(id, ToHost::Stderr, std::string("vm agent: ") + what + ": " + std::strerror(errno) + "\n");
    send_exit(id, 126);
  }

  [[noreturn]] static void become(const std::string& command, int out, int err) {
    setsid();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || chdir("/root") != 0) {
      _exit(126);
    }
    const std::array<const char*, 4> environment{"PATH=/usr/local/bin:/usr/bin:/bin:/sbin", "HOME=/root", "TERM=dumb",
                                                 nullptr};
    const std::array<const char*, 4> arguments{"sh", "-c", command.c_str(), nullptr};
    execve("/bin/sh", const_cast<char* const*>(arguments.data()), const_cast<char* const*>(environment.data()));
    std::perror("vm agent: /bin/sh");
    _exit(127);
  }

  void signal(std::uint32_t id, const std::string& payload) {
    std::int32_t number = 0;
    if (payload.size() != sizeof number) {
      return;
    }
    std::memcpy(&number, payload.data(), sizeof number);
    for (const Job& job : jobs_) {
      if (job.id == id && job.pid > 0) {
        kill(-job.pid, number);  // its whole session's first group
      }
    }
  }

  int port_;
  std::array<char, 8> magic_;
  std::uint64_t session_ = 0;
  int child_fd_ = -1;
  std::string inbox_;
  std::vector<Job> jobs_;
};

}  // namespace

int main() {
  mount_all();
  const Settings settings = read_settings();
  load_modules(settings.modules);
  name_ports(settings.ports);
  const std::string device = wait_for_port(control_port_name);
  const int port = open(device.c_str(), O_RDWR | O_CLOEXEC);
  if (port < 0) {
    give_up(device);
  }
  Agent(port, settings.magic).serve();
}
