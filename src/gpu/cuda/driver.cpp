// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/cuda/driver.hpp"

#include <dlfcn.h>

#include <array>
#include <cstdlib>

namespace isthmus::cuda {
namespace {

constexpr const char* usual_name = "libcuda.so.1";

template <class Pointer>
struct Missing;
template <class... Parameters>
struct Missing<CUresult (*)(Parameters...)> {
  static CUresult answer(Parameters...) { return CUDA_ERROR_NOT_SUPPORTED; }
};

// False where the driver has no such function.
template <class F>
bool look_up_function(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr) {
    function = Missing<F>::answer;
    return false;
  }
  return true;
}

}  // namespace

const Result<Driver>& Driver::get() {
  static const Result<Driver> driver = load();
  return driver;
}

Result<Driver> Driver::load() {
  const char* named = std::getenv("ISTHMUS_CUDA_DRIVER");
  const char* name = named != nullptr && *named != '\0' ? named : usual_name;
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(Errc::not_found, std::string("CUDA: ") + dlerror());
  }
  if (dlsym(library, frontend_symbol) != nullptr) {
    return fail(Errc::not_found, std::string("CUDA: ") + name +
                                     " is Isthmus's own library for guests; on the host the GPU's driver is needed");
  }
  Driver driver;
#define ISTHMUS_CUDA_TEXT(name) #name
#define ISTHMUS_CUDA_LOOK_UP(name)                                        \
  if (!look_up_function(library, ISTHMUS_CUDA_TEXT(name), driver.name)) { \
    ++driver.missing_;                                                    \
  }
  ISTHMUS_CUDA_FUNCTIONS(ISTHMUS_CUDA_LOOK_UP)
#undef ISTHMUS_CUDA_LOOK_UP
#undef ISTHMUS_CUDA_TEXT
  if (const CUresult code = driver.cuInit(0); code != CUDA_SUCCESS) {
    return fail(Errc::not_found, std::string("CUDA: cuInit of ") + name + " says " + std::to_string(code) +
                                     "; is there a GPU, and may this user open it?");
  }
  if (driver.cuDriverGetVersion(&driver.version_) != CUDA_SUCCESS ||
      driver.cuDeviceGetCount(&driver.devices_) != CUDA_SUCCESS || driver.devices_ <= 0) {
    return fail(Errc::not_found, std::string("CUDA: ") + name + " has no device");
  }
  return driver;
}

std::string Driver::description() const {
  std::array<char, 256> name{};
  cuDeviceGetName(name.data(), name.size() - 1, 0);
  std::string line = "CUDA " + std::to_string(version_ / 1000) + "." + std::to_string(version_ % 1000 / 10) + ", " +
                     std::to_string(devices_) + (devices_ == 1 ? " device: " : " devices: ") + name.data();
  if (missing_ != 0) {
    line += "; the driver lacks " + std::to_string(missing_) + " functions, which answer not-supported";
  }
  return line;
}

}  // namespace isthmus::cuda
