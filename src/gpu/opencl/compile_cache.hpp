// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace isthmus::opencl {

/// Where drivers keep compiled kernels. They are code that runs in whoever loads them: what one guest left must not
/// reach another. A worker that was given no folder (POCL_CACHE_DIR) gets one of its own, which goes with the process;
/// what a killed worker left, the next one removes.
class CompileCache {
 public:
  /// Sets POCL_CACHE_DIR where it is not set, which is read when the driver is loaded: before that, and while no other
  /// thread looks at the environment.
  CompileCache();
  CompileCache(const CompileCache&) = delete;
  CompileCache& operator=(const CompileCache&) = delete;
  CompileCache(CompileCache&&) = delete;
  CompileCache& operator=(CompileCache&&) = delete;
  ~CompileCache();

 private:
  std::filesystem::path own_;  // empty: it was given one
};

}  // namespace isthmus::opencl
