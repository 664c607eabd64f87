// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <mutex>
#include <vector>

#include "guest/cudart/driver.hpp"
#include "guest/cudart/runtime.hpp"

/// \file
/// What generated code registers as a program starts: fat binaries, their kernels and their variables. Registration
/// asks the driver for nothing; a fat binary is loaded at the first use of something in it. All functions may be called
/// by any thread.

namespace isthmus::cudart {

class Module;

/// A kernel that a program was built with. Lives as long as its module.
class Kernel {
 public:
  Kernel(Module& module, const void* host, const char* name) : module_(&module), host_(host), name_(name) {}

  /// The driver's handle, good in every context; loads the module if need be. Needs a current context.
  cudaError_t handle(CUkernel& kernel) {
    kernel = handle_.load(std::memory_order_acquire);
    return kernel != nullptr ? cudaSuccess : load(kernel);
  }
  [[nodiscard]] const Module* module() const { return module_; }
  [[nodiscard]] const char* name() const { return name_; }

 private:
  cudaError_t load(CUkernel& kernel);

  Module* module_;
  const void* host_;
  const char* name_;
  std::atomic<CUkernel> handle_{nullptr};
};

/// A variable in device memory that a program was built with. Lives as long as its module.
class Variable {
 public:
  /// `slot`, of a managed variable: where the program keeps its address; else null.
  Variable(Module& module, const char* name, void** slot) : module_(&module), name_(name), slot_(slot) {}

  struct Place {
    CUdeviceptr address = 0;
    std::size_t size = 0;  ///< in bytes
  };
  /// Where it is in the current context; loads the module if need be.
  cudaError_t place(Place& place);
  [[nodiscard]] const Module* module() const { return module_; }

 private:
  friend class Module;
  struct Known {
    CUcontext context;
    unsigned resets;
    Place place;
  };

  Module* module_;
  const char* name_;
  void** slot_;
  std::vector<Known> known_;  ///< under the module's lock
};

/// One fat binary.
class Module {
 public:
  /// `wrapper` is what nvcc puts into the section .nvFatBinSegment (fatbinary_section.h): version 1 around one fat
  /// binary, version 2 around what was linked of several (-rdc=true). Something else gives a module without an image.
  explicit Module(const void* wrapper);

  Kernel& add_kernel(const void* host, const char* name) { return kernels_.emplace_back(*this, host, name); }
  Variable& add_variable(const char* name, void** slot) { return variables_.emplace_back(*this, name, slot); }

  /// Loads it, and gives the program the addresses of its managed variables. Needs a current context.
  cudaError_t load();
  void unload();

 private:
  friend class Kernel;
  friend class Variable;
  cudaError_t load_locked();
  /// Whether there is nothing for the device in what was, or was not, loaded. Needs a current context.
  [[nodiscard]] bool holds_nothing(cudaError_t loaded, CUlibrary library) const;
  /// Has the driver link the fat binaries of version 2, whose `image_` holds nothing for the device.
  cudaError_t load_linked(CUlibrary& library) const;

  const void* image_ = nullptr;
  const void* const* prelinked_ = nullptr;  ///< ends with a null; null in version 1
  std::mutex mutex_;
  CUlibrary library_ = nullptr;  ///< null: not loaded
  std::deque<Kernel> kernels_;
  std::deque<Variable> variables_;
};

/// What was registered under the address of a host function or variable; null: nothing was.
Kernel* find_kernel(const void* host);
Variable* find_variable(const void* host);

/// Makes `kernel`, which the program may have been handed, acceptable as a function's address.
void remember_handle(CUkernel kernel);
void remember_handle(CUfunction function, CUkernel kernel);

/// The driver's kernel for what a program passes as a function: the address of a registered host function, or a handle
/// that it got from us. cudaErrorInvalidDeviceFunction for anything else. Needs a current context.
cudaError_t resolve(const void* function, CUkernel& kernel);

/// What `resolve` takes for this kernel: the host function's address where one is known, else the handle itself.
const void* unresolve(CUkernel kernel);

/// The registered kernel that `function` is in the current context; null: none.
CUkernel kernel_of(CUfunction function);

}  // namespace isthmus::cudart
