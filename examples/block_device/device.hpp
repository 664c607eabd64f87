// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <isthmus/service.hpp>
#include <memory>

namespace block_device {

std::unique_ptr<isthmus::Service> make_device();

}  // namespace block_device
