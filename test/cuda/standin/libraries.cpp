// SPDX-License-Identifier: Apache-2.0
// Entry points of libraries, which are loaded once and come into each context by themselves.
#include <cuda.h>

#include <fstream>
#include <iterator>
#include <vector>

#include "test/cuda/standin/driver.hpp"
#include "test/cuda/standin/entry.hpp"
#include "test/cuda/standin/function_attributes.hpp"
#include "test/cuda/standin/module.hpp"

namespace isthmus::standin {

std::shared_ptr<Module> module_of(Library& library, Context& context) {
  const std::scoped_lock lock(library.mutex);
  auto& module = library.modules[&context];
  if (module == nullptr) {
    module = load_module(context, library.image, library.handle);
  }
  return module;
}

std::shared_ptr<Function> function_for(CUfunction handle, Context& context) {
  if (auto function = driver().functions.find(handle)) {
    require(function->context == &context, CUDA_ERROR_INVALID_HANDLE, "the function belongs to another context");
    return function;
  }
  const auto kernel = driver().kernels.get(std::bit_cast<CUkernel>(handle));
  const auto library = kernel->library.lock();
  require(library != nullptr, CUDA_ERROR_INVALID_HANDLE, "the kernel's library was unloaded");
  return module_of(*library, context)->functions.at(kernel->name);
}

namespace {

void load_library(CUlibrary* result, const void* code) {
  auto& to = out(result);
  auto library = std::make_shared<Library>();
  try {
    library->image = read_image(code);
  } catch (const Failure& failure) {
    // As the driver, which looks for code when a kernel is asked for.
    if (failure.code != CUDA_ERROR_NO_BINARY_FOR_GPU) {
      throw;
    }
    library->without_code = true;
  }
  for (const auto& [name, image] : library->image.kernels) {
    auto kernel = std::make_shared<LibraryKernel>();
    kernel->name = name;
    kernel->image = image;
    kernel->library = library;
    kernel->handle = driver().kernels.add(kernel);
    library->kernels.emplace(name, std::move(kernel));
  }
  to = library->handle = driver().libraries.add(library);
}

void give_variable(CUlibrary handle, const char* name, bool managed, CUdeviceptr* address, size_t* bytes) {
  require(name != nullptr, CUDA_ERROR_INVALID_VALUE);
  const auto library = driver().libraries.get(handle);
  require(!library->without_code, CUDA_ERROR_NO_BINARY_FOR_GPU);
  const auto module = module_of(*library, *checked_context());
  const auto found = module->variables.find(name);
  require(found != module->variables.end() && found->second.managed == managed, CUDA_ERROR_NOT_FOUND, name);
  if (address != nullptr) {
    *address = found->second.address;
  }
  if (bytes != nullptr) {
    *bytes = found->second.size;
  }
}

// Attributes of kernels are of a device; the stand-in keeps them with the function of its current context.
std::shared_ptr<Function> function_of_kernel(CUkernel kernel, CUdevice device) {
  require_device(device);
  const auto context = checked_context();
  return function_for(std::bit_cast<CUfunction>(kernel), *context);
}

}  // namespace
}  // namespace isthmus::standin

using namespace isthmus::standin;  // NOLINT(google-build-using-namespace): what follows is C's

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* /*options*/, void** /*values*/,
                           unsigned /*count*/, CUlibraryOption* /*library_options*/, void** /*library_values*/,
                           unsigned /*library_count*/) {
  return initialised(__func__, [&] { load_library(library, code); });
}

CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* name, CUjit_option* /*options*/, void** /*values*/,
                               unsigned /*count*/, CUlibraryOption* /*library_options*/, void** /*library_values*/,
                               unsigned /*library_count*/) {
  return initialised(__func__, [&] {
    require(name != nullptr, CUDA_ERROR_INVALID_VALUE);
    std::ifstream file(name, std::ios::binary);
    require(file.good(), CUDA_ERROR_FILE_NOT_FOUND, name);
    std::vector<char> content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    content.push_back('\0');
    load_library(library, content.data());
  });
}

CUresult cuLibraryUnload(CUlibrary handle) {
  return initialised(__func__, [&] {
    const auto library = driver().libraries.take(handle);
    for (const auto& [name, kernel] : library->kernels) {
      driver().kernels.take(kernel->handle);
    }
    const std::scoped_lock lock(library->mutex);
    for (const auto& [context, module] : library->modules) {
      context->synchronize();
      driver().modules.take(module->handle);
      unload_module(*module);
    }
  });
}

CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
  return initialised(__func__, [&] {
    auto& to = out(kernel);
    require(name != nullptr, CUDA_ERROR_INVALID_VALUE);
    const auto in = driver().libraries.get(library);
    require(!in->without_code, CUDA_ERROR_NO_BINARY_FOR_GPU);
    const auto found = in->kernels.find(name);
    require(found != in->kernels.end(), CUDA_ERROR_NOT_FOUND, name);
    to = found->second->handle;
  });
}

CUresult cuLibraryGetKernelCount(unsigned* count, CUlibrary library) {
  return initialised(__func__,
                     [&] { out(count) = static_cast<unsigned>(driver().libraries.get(library)->kernels.size()); });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned most, CUlibrary library) {
  return initialised(__func__, [&] {
    const auto in = driver().libraries.get(library);
    unsigned given = 0;
    for (auto at = in->kernels.begin(); at != in->kernels.end() && given < most; ++at) {
      (&out(kernels))[given++] = at->second->handle;
    }
  });
}

CUresult cuLibraryGetModule(CUmodule* module, CUlibrary library) {
  return in_context(
      __func__, [&](Context& context) { out(module) = module_of(*driver().libraries.get(library), context)->handle; });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name) {
  return in_context(__func__, [&](Context& /*context*/) { give_variable(library, name, false, address, bytes); });
}

CUresult cuLibraryGetManaged(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name) {
  return in_context(__func__, [&](Context& /*context*/) { give_variable(library, name, true, address, bytes); });
}

CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  return in_context(__func__, [&](Context& context) {
    driver().kernels.get(kernel);
    out(function) = function_for(std::bit_cast<CUfunction>(kernel), context)->handle;
  });
}

CUresult cuKernelGetLibrary(CUlibrary* library, CUkernel kernel) {
  return initialised(__func__, [&] {
    const auto in = driver().kernels.get(kernel)->library.lock();
    require(in != nullptr, CUDA_ERROR_INVALID_HANDLE);
    out(library) = in->handle;
  });
}

CUresult cuKernelGetName(const char** name, CUkernel kernel) {
  return initialised(__func__, [&] { out(name) = driver().kernels.get(kernel)->name.c_str(); });
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* size) {
  return initialised(__func__,
                     [&] { give_parameter(driver().kernels.get(kernel)->image.parameters, index, offset, size); });
}

CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device) {
  return in_context(__func__, [&](Context& /*context*/) {
    out(value) = get_attribute(*function_of_kernel(kernel, device), attribute);
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device) {
  return in_context(
      __func__, [&](Context& /*context*/) { set_attribute(*function_of_kernel(kernel, device), attribute, value); });
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache /*config*/, CUdevice device) {
  return in_context(__func__, [&](Context& /*context*/) { function_of_kernel(kernel, device); });
}
