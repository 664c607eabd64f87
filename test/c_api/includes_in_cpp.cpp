// SPDX-License-Identifier: Apache-2.0
#include "isthmus/isthmus.h"

// The header is C++, too, and its functions are the C ones.
extern "C" int version_in_cpp() { return isthmus_abi_version() == ISTHMUS_ABI_VERSION ? 1 : 0; }
