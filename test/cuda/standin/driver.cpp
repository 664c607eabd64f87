// SPDX-License-Identifier: Apache-2.0
#include "test/cuda/standin/driver.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/settings.hpp"

namespace isthmus::standin {
namespace {

thread_local bool own_default_stream = false;

}  // namespace

void alarm(const std::string& what) {
  std::fprintf(stderr, "stand-in for NVIDIA's driver: %s\n", what.c_str());
  std::abort();
}

Driver& driver() {
  static Driver& whole = *new Driver;  // never destroyed: our threads run until the process ends
  return whole;
}

void require_device(CUdevice device) {
  require(device >= 0 && device < settings().devices, CUDA_ERROR_INVALID_DEVICE, "no such device");
}

OwnDefaultStream::OwnDefaultStream() noexcept : before_(own_default_stream) { own_default_stream = true; }
OwnDefaultStream::~OwnDefaultStream() { own_default_stream = before_; }
bool null_stream_is_per_thread() noexcept { return own_default_stream; }

void check_entry() {
  // After fork the child has none of our threads.
  require(driver().owner == getpid(), CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called in this process");
  require(!on_driver_thread(), CUDA_ERROR_NOT_PERMITTED, "a call from a callback");
}

std::shared_ptr<Context> checked_context() {
  auto context = current_context();
  require(context != nullptr, CUDA_ERROR_INVALID_CONTEXT, "no current context");
  require(context->fault() == CUDA_SUCCESS, context->fault(), "a kernel failed earlier");
  return context;
}

void trace(const char* name, CUresult code, const char* why) noexcept {
  if (settings().trace) {
    std::fprintf(stderr, "standin: %s -> %d%s%s\n", name, code, *why == '\0' ? "" : ": ", why);
  }
}

}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuInit(unsigned flags) {
  return answer(__func__, [&] {
    require(flags == 0, CUDA_ERROR_INVALID_VALUE);
    require(settings().devices > 0, CUDA_ERROR_NO_DEVICE);
    int nobody = 0;
    driver().owner.compare_exchange_strong(nobody, getpid());
    require(driver().owner == getpid(), CUDA_ERROR_NOT_INITIALIZED, "the process is a child of the driver's");
  });
}

CUresult cuDriverGetVersion(int* version) {
  return answer(__func__, [&] { out(version) = CUDA_VERSION; });
}

CUresult cuGetExportTable(const void** table, const CUuuid* /*which*/) {
  // NVIDIA's own libraries ask for undocumented tables here.
  return answer(__func__, [&] {
    out(table) = nullptr;
    fail(CUDA_ERROR_NOT_FOUND, "the stand-in has public interfaces only");
  });
}
