// SPDX-License-Identifier: Apache-2.0
#include "src/gpu/opencl/driver.hpp"

#include <dlfcn.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv is POSIX, not C++

#include <string>
#include <utility>

#include "src/gpu/opencl/compile_cache.hpp"

namespace isthmus::opencl {
namespace {

constexpr const char* loader_name = "libOpenCL.so.1";

template <class F>
bool look_up(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

template <class Handle>
std::string text_of(cl_int (*ask)(Handle, cl_uint, std::size_t, void*, std::size_t*), Handle of, cl_uint parameter) {
  std::size_t size = 0;
  if (ask(of, parameter, 0, nullptr, &size) != CL_SUCCESS) {
    return {};
  }
  std::string text(size, '\0');
  return ask(of, parameter, size, text.data(), nullptr) == CL_SUCCESS ? text : "";
}

// Whether a list of extensions, with or without its end, has this one.
bool lists(std::string_view extensions, std::string_view name) noexcept {
  for (std::size_t at = extensions.find(name); at != std::string_view::npos; at = extensions.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || extensions[at - 1] == ' ') &&
        (end == extensions.size() || extensions[end] == ' ' || extensions[end] == '\0')) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool is_own_frontend(std::string_view extensions) noexcept { return lists(extensions, frontend_extension); }

Result<Driver> Driver::load() {
  void* library = dlopen(loader_name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return fail(Errc::not_found, std::string("OpenCL: ") + dlerror());
  }
  Driver driver;
  const char* missing = nullptr;
#define ISTHMUS_OPENCL_LOOK_UP(name)           \
  if (!look_up(library, #name, driver.name)) { \
    missing = #name;                           \
  }
  ISTHMUS_OPENCL_FUNCTIONS(ISTHMUS_OPENCL_LOOK_UP)
#undef ISTHMUS_OPENCL_LOOK_UP
#define ISTHMUS_OPENCL_LOOK_UP(name) look_up(library, #name, driver.name);
  ISTHMUS_OPENCL_NEWER_FUNCTIONS(ISTHMUS_OPENCL_LOOK_UP)
#undef ISTHMUS_OPENCL_LOOK_UP
  if (missing != nullptr) {
    return fail(Errc::not_found, std::string(loader_name) + ": has no " + missing + "; OpenCL 1.2 is needed");
  }
  driver.find_devices();
  return driver;
}

const Result<const Driver*>& Driver::shared() {
  // The language makes this once, whoever comes first; the others wait. The cache goes when the process exits; the
  // driver never does, because it has threads.
  static const CompileCache cache;
  static const Result<const Driver*> shared = []() -> Result<const Driver*> {
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 0);  // a worker has no environment; PoCL calls the linker
    auto loaded = load();
    if (!loaded) {
      return std::unexpected(std::move(loaded.error()));
    }
    return new Driver(std::move(*loaded));
  }();
  return shared;
}

std::string Driver::platform_text(cl_platform_id platform, cl_platform_info parameter) const {
  return text_of(clGetPlatformInfo, platform, parameter);
}

Driver::Device Driver::describe(cl_device_id id, std::uint32_t platform, std::uint32_t root) const {
  Device device{.id = id, .platform = platform, .root = root};
  clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof device.type, &device.type, nullptr);
  clGetDeviceInfo(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof device.local_memory, &device.local_memory, nullptr);
  find_languages(device);
  return device;
}

void Driver::find_languages(Device& device) const {
  if (text_of(clGetDeviceInfo, device.id, CL_DEVICE_IL_VERSION).size() <= 1) {  // its end, and nothing before
    return;
  }
  cl_version version = 0;
  clGetDeviceInfo(device.id, CL_DEVICE_NUMERIC_VERSION, sizeof version, &version, nullptr);
  if (version >= CL_MAKE_VERSION(3, 0, 0)) {
    device.create_with_il = clCreateProgramWithIL;
    device.has_constants = clSetProgramSpecializationConstant != nullptr;
  } else if (clGetExtensionFunctionAddressForPlatform != nullptr &&
             lists(text_of(clGetDeviceInfo, device.id, CL_DEVICE_EXTENSIONS), "cl_khr_il_program")) {
    device.create_with_il = reinterpret_cast<clCreateProgramWithILKHR_fn>(
        clGetExtensionFunctionAddressForPlatform(platforms_[device.platform], "clCreateProgramWithILKHR"));
  }
}

void Driver::find_devices() {
  cl_uint count = 0;
  if (clGetPlatformIDs(0, nullptr, &count) != CL_SUCCESS) {
    return;
  }
  std::vector<cl_platform_id> all(count);
  if (count == 0 || clGetPlatformIDs(count, all.data(), nullptr) != CL_SUCCESS) {
    return;
  }
  for (cl_platform_id platform : all) {
    if (is_own_frontend(platform_text(platform, CL_PLATFORM_EXTENSIONS))) {
      continue;
    }
    cl_uint devices = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &devices) != CL_SUCCESS || devices == 0) {
      continue;
    }
    std::vector<cl_device_id> ids(devices);
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, devices, ids.data(), nullptr) != CL_SUCCESS) {
      continue;
    }
    const auto index = static_cast<std::uint32_t>(platforms_.size());
    platforms_.push_back(platform);
    for (cl_device_id id : ids) {
      devices_.push_back(describe(id, index, static_cast<std::uint32_t>(devices_.size())));
    }
  }
}

}  // namespace isthmus::opencl
