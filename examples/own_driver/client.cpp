// SPDX-License-Identifier: Apache-2.0

// A split driver of one's own. messages.hpp is what its halves share, server.cpp is the host's half, this is the
// client's. Here the program starts the host's half itself, as a process of its own; between a VM and its host only the
// line with LocalLane differs: there the client says Lane::attach("ivshmem:auto").

#include <cstdio>
#include <cstring>
#include <isthmus/local_lane.hpp>
#include <isthmus/marshal/open.hpp>

#include "messages.hpp"
#include "server.hpp"

int main() {
  using namespace image_filter;

  auto local = isthmus::LocalLane::in_child(make_service);  // Lane::attach("ivshmem:auto") in a VM
  if (!local) {
    // Everything that can fail returns a Result: a code for the program, a text for people.
    std::fprintf(stderr, "%s\n", local.error().message.c_str());
    return 1;
  }
  isthmus::Lane& lane = local->lane();
  auto channel = lane.channel();                                  // this thread's own; other threads ask for theirs
  auto image = lane.allocate(static_cast<std::size_t>(1) << 20);  // memory that both halves see
  if (!channel || !image) {
    return 1;
  }
  std::memset(image->data(), 200, image->size());

  auto opened = isthmus::marshal::open<ImageFilterApi>(**channel);
  if (!opened) {  // another version, or no such driver on the other side
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    return 1;
  }
  auto& device = *opened;
  // Nobody has to wait for this one: it is executed before everything that this program asks later.
  const auto posted = device.post<Invert>({.pixels = image->reference()});
  const auto mean = device.call<Mean>({.pixels = image->reference()});
  // The host checks: this one names bytes past the end of the region.
  const auto refused = device.call<Mean>({.pixels = isthmus::Reference::make(0, std::uint64_t{1} << 40, 1)});
  if (!posted || !mean || !refused) {
    return 1;
  }
  std::printf("mean brightness after inverting: %u; a wild reference: status %d\n", mean->reply.brightness,
              refused->status);
  return mean->reply.brightness == 55 && refused->status == bad_reference ? 0 : 1;
}
