// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <isthmus/service.hpp>
#include <memory>

namespace image_filter {

// The host's half: owns the device, and answers what the messages ask.
std::unique_ptr<isthmus::Service> make_service();

}  // namespace image_filter
