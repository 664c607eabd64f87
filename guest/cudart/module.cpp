// SPDX-License-Identifier: Apache-2.0

#include "guest/cudart/module.hpp"

#include <cstddef>
#include <memory>
#include <shared_mutex>
#include <unordered_map>

#include "guest/cudart/call.hpp"
#include "src/gpu/cuda/image.hpp"

namespace isthmus::cudart {
namespace {

/// The control structure of a fat binary, as toolkits publish it in fatbinary_section.h.
struct FatBinaryWrapper {
  int magic;
  int version;
  const void* data;
  const void* const* prelinked;  ///< version 2: the fat binaries that `data` was linked of, and a null
};
constexpr int wrapper_magic = 0x466243b1;

struct Registry {
  std::shared_mutex mutex;
  std::unordered_map<const void*, Kernel*> kernels;
  std::unordered_map<const void*, Variable*> variables;
  std::unordered_map<const void*, CUkernel> handles;  ///< handles that the program may hold
  std::unordered_map<CUkernel, const void*> hosts;    ///< loaded kernels back to host functions
};

/// Never destroyed: programs unregister while the process ends, in no certain order.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

template <class Value>
Value* find_in(const std::unordered_map<const void*, Value*>& map, const void* key) {
  const auto found = map.find(key);
  return found != map.end() ? found->second : nullptr;
}

/// Removes from `map` what belongs to `module`.
template <class Value>
void forget(std::unordered_map<const void*, Value*>& map, const Module* module) {
  std::erase_if(map, [&](const auto& entry) { return entry.second->module() == module; });
}

}  // namespace

cudaError_t Kernel::load(CUkernel& kernel) {
  const std::scoped_lock lock(module_->mutex_);
  cudaError_t error = module_->load_locked();
  if (error == cudaSuccess) {
    error = driver(cuLibraryGetKernel, &kernel, module_->library_, name_);
  }
  if (error != cudaSuccess) {
    return error == cudaErrorSymbolNotFound ? cudaErrorInvalidDeviceFunction : error;
  }
  {
    const std::unique_lock registry_lock(registry().mutex);
    registry().hosts.insert_or_assign(kernel, host_);
  }
  handle_.store(kernel, std::memory_order_release);
  return cudaSuccess;
}

cudaError_t Variable::place(Place& place) {
  CUcontext context = nullptr;
  cudaError_t error = driver(cuCtxGetCurrent, &context);
  if (error != cudaSuccess) {
    return error;
  }
  const unsigned resets = count_of_resets();
  const std::scoped_lock lock(module_->mutex_);
  for (const Known& known : known_) {
    if (known.context == context && known.resets == resets) {
      place = known.place;
      return cudaSuccess;
    }
  }
  error = module_->load_locked();
  if (error == cudaSuccess) {
    error = slot_ != nullptr ? driver(cuLibraryGetManaged, &place.address, &place.size, module_->library_, name_)
                             : driver(cuLibraryGetGlobal, &place.address, &place.size, module_->library_, name_);
  }
  if (error != cudaSuccess) {
    return error == cudaErrorSymbolNotFound ? cudaErrorInvalidSymbol : error;
  }
  std::erase_if(known_, [&](const Known& known) { return known.resets != resets; });
  known_.push_back({.context = context, .resets = resets, .place = place});
  return cudaSuccess;
}

Module::Module(const void* wrapper) {
  const auto* fat_binary = static_cast<const FatBinaryWrapper*>(wrapper);
  if (fat_binary != nullptr && fat_binary->magic == wrapper_magic &&
      (fat_binary->version == 1 || fat_binary->version == 2)) {
    image_ = fat_binary->data;
    prelinked_ = fat_binary->version == 2 ? fat_binary->prelinked : nullptr;
  }
}

cudaError_t Module::load() {
  const std::scoped_lock lock(mutex_);
  return load_locked();
}

cudaError_t Module::load_locked() {
  if (library_ != nullptr) {
    return cudaSuccess;
  }
  if (image_ == nullptr) {
    return cudaErrorInvalidKernelImage;
  }
  CUlibrary library = nullptr;
  cudaError_t error = driver(cuLibraryLoadData, &library, image_, nullptr, nullptr, 0U, nullptr, nullptr, 0U);
  if (prelinked_ != nullptr && holds_nothing(error, library)) {
    if (error == cudaSuccess) {
      driver(cuLibraryUnload, library);
    }
    error = load_linked(library);
  }
  if (error != cudaSuccess) {
    return error;
  }
  for (Variable& variable : variables_) {
    if (variable.slot_ == nullptr) {
      continue;
    }
    CUdeviceptr address = 0;
    std::size_t size = 0;
    error = driver(cuLibraryGetManaged, &address, &size, library, variable.name_);
    if (error != cudaSuccess) {
      driver(cuLibraryUnload, library);
      return error == cudaErrorSymbolNotFound ? cudaErrorInvalidSymbol : error;
    }
    *variable.slot_ = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): the driver's address
    const std::unique_lock registry_lock(registry().mutex);
    registry().variables.emplace(*variable.slot_, &variable);
  }
  library_ = library;
  return cudaSuccess;
}

bool Module::holds_nothing(cudaError_t loaded, CUlibrary library) const {
  if (loaded == cudaSuccess && !kernels_.empty()) {
    // A driver that loads lazily finds out when it is asked for a kernel, and then for its code.
    CUkernel kernel = nullptr;
    CUfunction function = nullptr;
    loaded = driver(cuLibraryGetKernel, &kernel, library, kernels_.front().name());
    loaded = loaded == cudaSuccess ? driver(cuKernelGetFunction, &function, kernel) : loaded;
  }
  return loaded == cudaErrorNoKernelImageForDevice || loaded == cudaErrorInvalidKernelImage;
}

cudaError_t Module::load_linked(CUlibrary& library) const {
  CUlinkState state = nullptr;
  cudaError_t error = driver(cuLinkCreate, 0U, nullptr, nullptr, &state);
  if (error != cudaSuccess) {
    return error;
  }
  for (const void* const* part = prelinked_; error == cudaSuccess && *part != nullptr; ++part) {
    const auto size = cuda::image_size(static_cast<const std::byte*>(*part), cuda::max_image);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): the driver's interface; it only reads
    error = size ? driver(cuLinkAddData, state, CU_JIT_INPUT_FATBINARY, const_cast<void*>(*part), *size, nullptr, 0U,
                          nullptr, nullptr)
                 : cudaErrorInvalidKernelImage;
  }
  void* image = nullptr;
  std::size_t size = 0;
  if (error == cudaSuccess) {
    error = driver(cuLinkComplete, state, &image, &size);
  }
  if (error == cudaSuccess) {
    error = driver(cuLibraryLoadData, &library, image, nullptr, nullptr, 0U, nullptr, nullptr, 0U);
  }
  driver(cuLinkDestroy, state);
  return error;
}

void Module::unload() {
  const std::scoped_lock lock(mutex_);
  if (library_ != nullptr) {
    driver(cuLibraryUnload, library_);  // at the end of a process the driver may be gone: nothing is left to do then
    library_ = nullptr;
  }
}

Kernel* find_kernel(const void* host) {
  const std::shared_lock lock(registry().mutex);
  return find_in(registry().kernels, host);
}

Variable* find_variable(const void* host) {
  const std::shared_lock lock(registry().mutex);
  return find_in(registry().variables, host);
}

void remember_handle(CUkernel kernel) {
  const std::unique_lock lock(registry().mutex);
  registry().handles.insert_or_assign(kernel, kernel);
}

void remember_handle(CUfunction function, CUkernel kernel) {
  const std::unique_lock lock(registry().mutex);
  registry().handles.insert_or_assign(function, kernel);
}

cudaError_t resolve(const void* function, CUkernel& kernel) {
  Kernel* registered = nullptr;
  {
    const std::shared_lock lock(registry().mutex);
    registered = find_in(registry().kernels, function);
    if (registered == nullptr) {
      const auto found = registry().handles.find(function);
      if (found == registry().handles.end()) {
        return cudaErrorInvalidDeviceFunction;
      }
      kernel = found->second;
      return cudaSuccess;
    }
  }
  return registered->handle(kernel);
}

const void* unresolve(CUkernel kernel) {
  const std::shared_lock lock(registry().mutex);
  const auto found = registry().hosts.find(kernel);
  return found != registry().hosts.end() ? found->second : kernel;
}

CUkernel kernel_of(CUfunction function) {
  const std::shared_lock lock(registry().mutex);
  for (const auto& [kernel, host] : registry().hosts) {
    CUfunction candidate = nullptr;
    if (driver(cuKernelGetFunction, &candidate, kernel) == cudaSuccess && candidate == function) {
      return kernel;
    }
  }
  return nullptr;
}

}  // namespace isthmus::cudart

using namespace isthmus::cudart;  // NOLINT(google-build-using-namespace): the names below are C's

namespace {
Module& module_of(void** handle) { return *reinterpret_cast<Module*>(handle); }
}  // namespace

// What nvcc's generated code calls; its own header, crt/host_runtime.h, declares these only to generated code.
// NOLINTBEGIN(readability-identifier-naming): the compiler's names
#pragma GCC visibility push(default)
extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) { return reinterpret_cast<void**>(new Module(wrapper)); }

void __cudaRegisterFatBinaryEnd(void** /*handle*/) {}

void __cudaUnregisterFatBinary(void** handle) {
  if (handle == nullptr) {
    return;
  }
  const std::unique_ptr<Module> module(&module_of(handle));
  {
    const std::unique_lock lock(registry().mutex);
    forget(registry().kernels, module.get());
    std::erase_if(registry().hosts, [&](const auto& entry) { return !registry().kernels.contains(entry.second); });
    forget(registry().variables, module.get());
  }
  module->unload();
}

void __cudaRegisterFunction(void** handle, const char* host, char* /*device_name*/, const char* name,
                            int /*thread_limit*/, uint3* /*thread*/, uint3* /*block*/, dim3* /*block_size*/,
                            dim3* /*grid_size*/, int* /*warp_size*/) {
  Kernel& kernel = module_of(handle).add_kernel(host, name);
  const std::unique_lock lock(registry().mutex);
  registry().kernels.emplace(host, &kernel);
}

void __cudaRegisterVar(void** handle, char* host, char* /*device_address*/, const char* name, int /*is_extern*/,
                       std::size_t /*size*/, int /*is_constant*/, int /*is_global*/) {
  Variable& variable = module_of(handle).add_variable(name, nullptr);
  const std::unique_lock lock(registry().mutex);
  registry().variables.emplace(host, &variable);
}

void __cudaRegisterManagedVar(void** handle, void** slot, char* /*device_address*/, const char* name, int /*is_extern*/,
                              std::size_t /*size*/, int /*is_constant*/, int /*is_global*/) {
  Variable& variable = module_of(handle).add_variable(name, slot);
  const std::unique_lock lock(registry().mutex);
  registry().variables.emplace(slot, &variable);
}

char __cudaInitModule(void** handle) {
  return with_context([&] { return module_of(handle).load(); }) == cudaSuccess ? 1 : 0;
}

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-identifier-naming)
