// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <isthmus/marshal/dispatcher.hpp>

#include "messages.hpp"

namespace image_filter {

// One function for each kind of message. They are called by as many threads as the client has.
std::unique_ptr<isthmus::Service> make_service() {
  auto service = std::make_unique<isthmus::marshal::Dispatcher>();
  service->offer<ImageFilterApi>();

  service->on<Invert>(
      [](const Invert::Request& request, isthmus::marshal::Call& call) -> std::expected<Invert::Reply, std::int32_t> {
        // The client is not trusted: a reference becomes memory only if it lies inside the client's own region.
        const auto pixels = call.resolve(request.pixels);
        if (!pixels) {
          return std::unexpected(bad_reference);
        }
        std::ranges::transform(*pixels, pixels->begin(), [](std::byte pixel) { return ~pixel; });  // in place
        return Invert::Reply{};
      });

  service->on<Mean>(
      [](const Mean::Request& request, isthmus::marshal::Call& call) -> std::expected<Mean::Reply, std::int32_t> {
        const auto pixels = call.resolve(request.pixels);
        if (!pixels || pixels->empty()) {
          return std::unexpected(bad_reference);
        }
        std::uint64_t sum = 0;
        for (const std::byte pixel : *pixels) {
          sum += std::to_integer<std::uint64_t>(pixel);
        }
        return Mean::Reply{.brightness = static_cast<std::uint32_t>(sum / pixels->size())};
      });

  return service;
}

}  // namespace image_filter
