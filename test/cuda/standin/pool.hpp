// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <map>
#include <mutex>

namespace isthmus::standin {

/// What is known of a pool; its memory comes from where all memory does. Under its mutex.
struct Pool {
  explicit Pool(CUdevice of) : device(of) {}

  const CUdevice device;
  bool shareable = false;
  bool imported = false;
  std::mutex mutex;
  std::map<CUdevice, CUmemAccess_flags> access;  ///< of other devices, where they were given it
  std::map<CUdeviceptr, std::size_t> of_address;
  std::map<CUdeviceptr, std::size_t> leaving;  ///< freed by a stream that has not come there yet
  cuuint64_t used = 0;
  cuuint64_t reserved = 0;  ///< also what is leaving
  cuuint64_t most_used = 0;
  cuuint64_t threshold = 0;
  std::map<CUmemPool_attribute, int> reuse{{CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES, 1},
                                           {CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, 1},
                                           {CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES, 1}};
};

}  // namespace isthmus::standin
