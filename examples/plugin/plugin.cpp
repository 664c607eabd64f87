// SPDX-License-Identifier: Apache-2.0

// The host's half: a plug-in that isthmus-worker loads, isthmus-thermometer.so.

#include <cstring>
#include <isthmus/plugin.hpp>

#include "thermometer.hpp"

namespace {

using isthmus::marshal::Call;
using thermometer::Measure;

// One for each lane. Its functions are called by as many threads as the client has.
class Thermometer final : public isthmus::plugin::Backend {
 public:
  explicit Thermometer(isthmus::plugin::Host& host) : host_(&host) { host_->log("the thermometer is on"); }
  ~Thermometer() override { host_->log("the thermometer is off"); }
  Thermometer(const Thermometer&) = delete;
  Thermometer& operator=(const Thermometer&) = delete;
  Thermometer(Thermometer&&) = delete;
  Thermometer& operator=(Thermometer&&) = delete;

  void add_to(isthmus::marshal::Dispatcher& dispatcher) override {
    dispatcher.serve<thermometer::ThermometerApi>(*this);
  }

  // A message that the API lists and that has no function here does not compile.
  std::expected<Measure::Reply, std::int32_t> handle(const Measure::Request& request, Call& call) {
    // The client is not trusted: a reference becomes memory only inside the client's own region.
    const auto memory = call.resolve(request.readings);
    if (!memory) {
      return std::unexpected(thermometer::bad_reference);
    }
    Measure::Reply reply;
    for (std::int32_t reading = 21'000; (reply.count + 1) * sizeof reading <= memory->size(); ++reading) {
      std::memcpy(memory->data() + reply.count++ * sizeof reading, &reading, sizeof reading);  // in place
    }
    return reply;
  }

 private:
  isthmus::plugin::Host* host_;
};

// Before a client is there: look for the device. Its line is for the daemon's log.
isthmus::Result<std::string> prepare() { return "1 sensor found"; }

isthmus::Result<std::unique_ptr<isthmus::plugin::Backend>> open_lane(isthmus::plugin::Host& host) {
  return std::make_unique<Thermometer>(host);
}

}  // namespace

ISTHMUS_PLUGIN("thermometer", prepare, open_lane, .apis = isthmus::plugin::ids_of<thermometer::ThermometerApi>.data())
