// SPDX-License-Identifier: Apache-2.0

// The client's half. To be run against a daemon whose configuration says plugins = ["thermometer"].

#include <cstdio>
#include <cstring>
#include <isthmus/lane.hpp>
#include <isthmus/marshal/open.hpp>
#include <numeric>
#include <vector>

#include "thermometer.hpp"

int main(int argc, char** argv) {
  const auto complain = [](const isthmus::Error& error) {
    return std::fprintf(stderr, "%s\n", error.message.c_str()), 1;
  };
  auto lane = isthmus::Lane::attach(argc > 1 ? argv[1] : "ivshmem:auto");
  if (!lane) {
    return complain(lane.error());
  }
  auto channel = lane->channel();
  auto frame = lane->allocate(1000 * sizeof(std::int32_t));
  if (!channel || !frame) {
    return 1;
  }
  // Asks the worker for the API once; from then on the compiler knows which calls there are.
  auto device = isthmus::marshal::open<thermometer::ThermometerApi>(**channel);
  if (!device) {
    return complain(device.error());
  }
  const auto measured = device->call<thermometer::Measure>({.readings = frame->reference()});
  if (!measured || measured->status != 0) {
    return measured ? measured->status : complain(measured.error());
  }
  std::vector<std::int32_t> readings(measured->reply.count);
  std::memcpy(readings.data(), frame->data(), readings.size() * sizeof(std::int32_t));
  const auto sum = std::accumulate(readings.begin(), readings.end(), std::int64_t{0});
  std::printf("%zu readings, %lld millidegrees on average\n", readings.size(),
              static_cast<long long>(sum / static_cast<std::int64_t>(readings.size())));
}
