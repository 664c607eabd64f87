// SPDX-License-Identifier: Apache-2.0

// A guest that has taken over its worker: a kernel of a CPU device is code in the worker's process, and makes whatever
// system calls its program asks for, runs code that the program wrote, and in the end overwrites the process. Started
// by test_takeover.py, which says what to try for.

// NOLINTBEGIN(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression): the API takes
// addresses and sizes of its handles, which are pointers.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>

#include "test/opencl/device.hpp"

namespace isthmus::test {
namespace {

struct SystemCall {
  std::int64_t number = 0;
  std::array<std::int64_t, 6> arguments{};
  std::int64_t result = 0;
};

constexpr const char* takeover_source = R"(
typedef struct { long number; long arguments[6]; long result; } call_t;
__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void make(__global call_t* c) {
  long result;
  __asm__ volatile("mov %5, %%r10\n mov %6, %%r8\n mov %7, %%r9\n syscall"
                   : "=a"(result)
                   : "a"(c->number), "D"(c->arguments[0]), "S"(c->arguments[1]), "d"(c->arguments[2]),
                     "m"(c->arguments[3]), "m"(c->arguments[4]), "m"(c->arguments[5])
                   : "rcx", "r8", "r9", "r10", "r11", "memory");
  c->result = result;
}
__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void jump(__global call_t* c) {
  long result;
  __asm__ volatile("sub $128, %%rsp\n call *%1\n add $128, %%rsp" : "=a"(result) : "r"(c->arguments[0])
                   : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
  c->result = result;
}
__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void overwrite(__global call_t* c) {
  __asm__ volatile("mov %%rsp, %%rdi\n mov $0x4000000, %%rcx\n mov $0xcc, %%al\n rep stosb"
                   : : : "rdi", "rcx", "rax", "memory");
}
)";

class Takeover : public OpenCl {
 public:
  void SetUp() override {
    OpenCl::SetUp();
    shared_ = static_cast<std::byte*>(clSVMAlloc(context, CL_MEM_READ_WRITE, size, 0));
    ASSERT_NE(shared_, nullptr);
    call_ = new (shared_) SystemCall;
    cl_program built = program(takeover_source);
    ASSERT_EQ(clBuildProgram(built, 1, &device, "", nullptr, nullptr), CL_SUCCESS) << log(built);
    for (auto [kernel_, name] : {std::pair(&make_, "make"), {&jump_, "jump"}, {&overwrite_, "overwrite"}}) {
      *kernel_ = kernel(built, name);
      ASSERT_EQ(clSetKernelArgSVMPointer(*kernel_, 0, call_), CL_SUCCESS);
    }
  }
  void TearDown() override {}  // there is no worker any more

  // A place that both know: what system calls are given, and give.
  std::byte* place() const { return shared_ + page; }
  std::int64_t put(std::string_view text) const {
    std::memcpy(place(), text.data(), text.size());
    place()[text.size()] = std::byte{0};
    return address();
  }
  std::int64_t address() const { return reinterpret_cast<std::int64_t>(place()); }

  void task(cl_kernel what) { EXPECT_EQ(clEnqueueTask(queue, what, 0, nullptr, nullptr), CL_SUCCESS); }
  cl_int try_in_worker(std::int64_t number, const std::array<std::int64_t, 6>& arguments) {
    *call_ = {.number = number, .arguments = arguments};
    task(make_);
    return clFinish(queue);
  }
  std::int64_t in_worker(std::int64_t number, const std::array<std::int64_t, 6>& arguments) {
    EXPECT_EQ(try_in_worker(number, arguments), CL_SUCCESS);
    return call_->result;
  }
  std::int64_t open_in_worker(const std::string& path, int flags) {
    const std::int64_t opened = in_worker(SYS_open, {put(path), flags, 0600});
    if (opened >= 0) {
      EXPECT_EQ(in_worker(SYS_close, {opened}), 0);
    }
    return opened;
  }
  std::int64_t run_in_worker(std::string_view code) {
    std::memcpy(place(), code.data(), code.size());
    EXPECT_EQ(in_worker(SYS_mprotect, {address(), page, PROT_READ | PROT_WRITE | PROT_EXEC}), 0);
    *call_ = {.arguments = {address()}};
    task(jump_);
    EXPECT_EQ(clFinish(queue), CL_SUCCESS);
    return call_->result;
  }
  void overwrite_worker() {
    task(overwrite_);
    EXPECT_EQ(clFinish(queue), CL_OUT_OF_RESOURCES);
  }

  static std::string given(const char* name) {
    const char* value = std::getenv(name);
    EXPECT_NE(value, nullptr) << name << ": to be run by test_takeover.py";
    return value != nullptr ? value : "";
  }
  static std::int64_t given_pid(const char* name) { return std::strtoll(given(name).c_str(), nullptr, 10); }

  static constexpr std::size_t page = 4096;
  static constexpr std::size_t size = 4 * page;

 private:
  std::byte* shared_ = nullptr;
  SystemCall* call_ = nullptr;
  cl_kernel make_ = nullptr;
  cl_kernel jump_ = nullptr;
  cl_kernel overwrite_ = nullptr;
};

TEST_F(Takeover, ends_its_own_lane_and_reaches_nothing_else) {
  // It is the worker, and runs what it likes there.
  const std::int64_t worker = in_worker(SYS_getpid, {});
  std::cout << "worker " << worker << "\n";
  EXPECT_EQ(run_in_worker({"\xb8\x2a\x00\x00\x00\xc3", 6}), 42) << "mov $42, %eax; ret";
  const std::string own = given("ISTHMUS_TEST_OWN_CACHE");
  EXPECT_GE(open_in_worker(own + "/mine", O_CREAT | O_RDWR), 0);
  EXPECT_EQ(in_worker(SYS_kill, {worker, 0}), 0);

  // The daemon, and another worker.
  for (const std::int64_t victim : {given_pid("ISTHMUS_TEST_DAEMON"), given_pid("ISTHMUS_TEST_OTHER_WORKER")}) {
    ASSERT_GT(victim, 0);
    EXPECT_EQ(in_worker(SYS_kill, {victim, SIGKILL}), -EPERM);
    EXPECT_EQ(in_worker(SYS_kill, {victim, SIGSTOP}), -EPERM);
    EXPECT_EQ(in_worker(SYS_ptrace, {PTRACE_ATTACH, victim}), -EPERM);
    EXPECT_EQ(in_worker(SYS_ptrace, {PTRACE_SEIZE, victim}), -EPERM);
    const iovec into{.iov_base = place(), .iov_len = 8};
    std::memcpy(place() + 64, &into, sizeof into);
    const std::int64_t list = address() + 64;
    EXPECT_EQ(in_worker(SYS_process_vm_readv, {victim, list, 1, list, 1, 0}), -EPERM);
    EXPECT_EQ(in_worker(SYS_process_vm_writev, {victim, list, 1, list, 1, 0}), -EPERM);
    EXPECT_LT(open_in_worker("/proc/" + std::to_string(victim) + "/mem", O_RDWR), 0);
    EXPECT_LT(in_worker(SYS_pidfd_getfd, {in_worker(SYS_pidfd_open, {victim, 0}), 3, 0}), 0);
  }
  EXPECT_EQ(in_worker(SYS_setuid, {0}), -EPERM);

  // Another VM's region and compile cache, and the daemon's own files.
  EXPECT_EQ(open_in_worker(given("ISTHMUS_TEST_OTHER_REGION"), O_RDWR), -EACCES);
  EXPECT_EQ(open_in_worker(given("ISTHMUS_TEST_OTHER_REGION"), O_RDONLY), -EACCES);
  const std::string other = given("ISTHMUS_TEST_OTHER_CACHE");
  EXPECT_EQ(open_in_worker(other + "/kernel", O_RDONLY), -EACCES);
  EXPECT_EQ(open_in_worker(other + "/kernel", O_WRONLY), -EACCES);
  EXPECT_EQ(open_in_worker(other + "/more", O_CREAT | O_RDWR), -EACCES);
  EXPECT_EQ(in_worker(SYS_unlink, {put(other + "/kernel")}), -EACCES);
  if (given("ISTHMUS_TEST_IS_ROOT") == "1") {
    EXPECT_EQ(open_in_worker(given("ISTHMUS_TEST_CONFIGURATION"), O_WRONLY), -EACCES);
    // Who runs as the daemon's user may connect as that user.
    const std::int64_t socket = in_worker(SYS_socket, {AF_UNIX, SOCK_SEQPACKET, 0});
    ASSERT_GE(socket, 0);
    sockaddr_un daemon{.sun_family = AF_UNIX, .sun_path = {}};
    const std::string path = given("ISTHMUS_TEST_SOCKET");
    path.copy(static_cast<char*>(daemon.sun_path), sizeof daemon.sun_path - 1);
    std::memcpy(place(), &daemon, sizeof daemon);
    EXPECT_EQ(in_worker(SYS_connect, {socket, address(), sizeof daemon}), -EACCES);
  }
  overwrite_worker();
}

TEST_F(Takeover, tells_the_daemon_nonsense) {
  // Its own socket to the daemon is a worker's only one; what comes there is a guest's word.
  const std::int64_t nonsense = put("nonsense");
  cl_int code = CL_SUCCESS;
  for (std::int64_t descriptor = 3; descriptor < 16 && code == CL_SUCCESS; ++descriptor) {
    // The daemon may end the worker before the answer comes.
    code = try_in_worker(SYS_sendto, {descriptor, nonsense, 8, MSG_NOSIGNAL, 0, 0});
  }
  while (code == CL_SUCCESS) {
    code = clFinish(queue);
  }
  EXPECT_EQ(code, CL_OUT_OF_RESOURCES);
}

/// A client that has nothing to do with it.
class Bystander : public OpenCl {};

TEST_F(Bystander, works_whenever_it_is_asked) {
  cl_mem memory = buffer(4096);
  cl_kernel add = kernel("__kernel void add(__global int* v) { v[get_global_id(0)] += 1; }", "add");
  ASSERT_EQ(clSetKernelArg(add, 0, sizeof memory, &memory), CL_SUCCESS);
  write(memory, std::vector<cl_int>(1024, 0));
  cl_int expected = 0;
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    run(add, 1024);
    ++expected;
    ASSERT_EQ(read<cl_int>(memory, 1024), std::vector<cl_int>(1024, expected));
    std::cout << "right" << std::endl;
  }
}

}  // namespace
}  // namespace isthmus::test

// NOLINTEND(bugprone-multi-level-implicit-pointer-conversion, bugprone-sizeof-expression)
