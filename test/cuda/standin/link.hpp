// SPDX-License-Identifier: Apache-2.0
// Part of the stand-in for NVIDIA's driver: a test double, see README.md.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace isthmus::standin {

/// cuLinkCreate's. Used by one thread at a time.
struct Linking {
  std::vector<CUjit_option> names;
  void** values = nullptr;                   ///< the program's, for as long as there is this
  std::map<CUjit_option, std::size_t> room;  ///< what the values were at first
  std::string texts;
  std::string image;  ///< once complete
};

}  // namespace isthmus::standin
