// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "test/cuda/standin/image.hpp"
#include "test/cuda/standin/kernel.hpp"

namespace isthmus::standin {

class Context;
struct Module;

/// A kernel, loaded into a context.
struct Function {
  std::string name;
  KernelImage image;
  const Body::Known* body = nullptr;  ///< null: loads, but must not be launched
  std::weak_ptr<Module> module;
  Context* context = nullptr;
  CUfunction handle = nullptr;
  std::atomic<int> most_dynamic_shared{48 * 1024};
  std::atomic<int> carveout{-1};
};

struct Variable {
  CUdeviceptr address = 0;
  std::size_t size = 0;
  bool managed = false;
};

/// An image, loaded into a context. Constant once loaded.
struct Module {
  Context* context = nullptr;
  CUmodule handle = nullptr;
  CUlibrary library = nullptr;  ///< null: of cuModuleLoad*
  std::map<std::string, std::shared_ptr<Function>> functions;
  std::map<std::string, Variable> variables;
};

struct Library;

struct LibraryKernel {
  std::string name;
  KernelImage image;
  std::weak_ptr<Library> library;
  CUkernel handle = nullptr;
};

/// An image that comes into a context when it is first used there.
struct Library {
  Image image;
  bool without_code = false;  ///< nothing in it is for this device
  CUlibrary handle = nullptr;
  std::map<std::string, std::shared_ptr<LibraryKernel>> kernels;
  std::mutex mutex;
  std::map<Context*, std::shared_ptr<Module>> modules;  ///< under the mutex
};

/// Fails where a parameter's place in the image and in the body differ: by alarm(), as the test itself is wrong.
std::shared_ptr<Module> load_module(Context& context, const Image& image, CUlibrary library);
void unload_module(Module& module);
std::shared_ptr<Module> module_of(Library& library, Context& context);

/// A function for launching: `handle` may also be a kernel's. Fails with CUDA_ERROR_INVALID_HANDLE.
std::shared_ptr<Function> function_for(CUfunction handle, Context& context);

}  // namespace isthmus::standin
