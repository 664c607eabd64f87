// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "isthmus/error.hpp"
#include "isthmus/marshal/dispatcher.hpp"
#include "isthmus/reference.hpp"
#include "isthmus/upcalls.hpp"

/// \file
/// How an API of one's own gets into isthmus-worker: as a shared library isthmus-NAME.so that defines ISTHMUS_PLUGIN.
/// Which plug-ins a VM's workers load stands in the daemon's configuration (docs/plugins.md).
///
/// A plug-in runs in the worker's process and shares C++ objects with it: it must be built against the headers of the
/// same release and with the same C++ standard library. The descriptor tells, and the worker refuses another one.

namespace isthmus::plugin {

inline constexpr std::uint32_t magic = 0x4950'5449;  ///< "ITPI"
/// Counted up whenever something that worker and plug-in share changes its form.
inline constexpr std::uint32_t abi = 4;

/// What decides whether C++ objects of two compilations fit each other.
inline constexpr const char* standard_library =
#if defined(__GLIBCXX__) && _GLIBCXX_USE_CXX11_ABI
    "libstdc++ with C++11 strings";
#elif defined(__GLIBCXX__)
    "libstdc++ with old strings";
#else
    "libc++";
#endif

/// Device memory that all workers of a VM, or of an endpoint of [[shm]], have together. The daemon keeps the account;
/// what a worker has is free again when its process ends. Any thread.
class DeviceMemory {
 public:
  struct State {
    std::uint64_t total = 0;  ///< bytes
    std::uint64_t used = 0;   ///< by all workers
    /// Bytes to take() for each context that the plug-in makes on a device, because a driver does not say what one will
    /// need: `context_memory` of the configuration. 0: contexts are not counted.
    std::uint64_t per_context = 0;
  };
  virtual ~DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  DeviceMemory(DeviceMemory&&) = delete;
  DeviceMemory& operator=(DeviceMemory&&) = delete;

  /// To be asked before a device is. False: there is not so much left, and the client gets what a device without
  /// memory says. Waits, a few seconds at most, for what another worker has that is just ending.
  [[nodiscard]] virtual bool take(std::uint64_t bytes) = 0;
  /// Gives back what take() has granted. A worker that gives back more is killed.
  virtual void give(std::uint64_t bytes) = 0;
  [[nodiscard]] virtual State state() = 0;

 protected:
  DeviceMemory() = default;
};

/// Notes that the workers of a VM, or of one user's clients at an endpoint of [[shm]], leave for each other: by them a
/// program hands what its worker has to another program of its VM. The daemon keeps them, and a note goes with the
/// process that left it. What a note says is another worker's word: no more to be trusted than a guest's. Any thread;
/// each call is one round trip to the daemon.
class Notes {
 public:
  static constexpr std::size_t most_bytes = 192;       ///< of a note
  static constexpr std::size_t most_notes = 4096;      ///< of a worker
  static constexpr std::size_t most_descriptors = 64;  ///< of all workers that share them
  /// Random: who was not told it does not guess it.
  using Name = std::array<std::byte, 32>;
  struct Note {
    std::vector<std::byte> bytes;
    int descriptor = -1;  ///< if there is one, the caller's to close
  };
  virtual ~Notes() = default;
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;
  Notes(Notes&&) = delete;
  Notes& operator=(Notes&&) = delete;

  /// Leaves a note, with a copy of a descriptor unless that is -1. Nothing where a limit is reached.
  [[nodiscard]] virtual std::optional<Name> pin(std::span<const std::byte> bytes, int descriptor) = 0;
  /// Nothing where there is no such note.
  [[nodiscard]] virtual std::optional<Note> read(const Name& name) = 0;
  /// Removes a note of this worker's own.
  virtual void take_down(const Name& name) = 0;

 protected:
  Notes() = default;
};

/// What a worker offers to a backend, from open_lane() until the backend's destructor has returned. Any thread.
class Host {
 public:
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  Host(Host&&) = delete;
  Host& operator=(Host&&) = delete;

  /// The lane's region as it is mapped here (window 0): a reference's offset counts from its start. For drivers that
  /// are told of memory once, and for finding the offset of an address. Other lanes' memory lies in it, too: touch only
  /// what resolve() returned.
  [[nodiscard]] virtual std::span<std::byte> window() const noexcept = 0;
  /// As Request::resolve(), for references that are kept beyond one request.
  [[nodiscard]] virtual std::optional<std::span<std::byte>> resolve(Reference reference) const noexcept = 0;
  /// The way back to the client; empty while it serves no upcalls. May be kept: it answers `closed` once the lane is
  /// over.
  [[nodiscard]] virtual std::shared_ptr<Upcalls> upcalls() const noexcept = 0;
  /// The limit of device memory; null where the configuration has none. May be kept.
  [[nodiscard]] virtual std::shared_ptr<DeviceMemory> device_memory() const noexcept = 0;
  /// What the VM's workers leave for each other; null where the daemon keeps none. May be kept.
  [[nodiscard]] virtual std::shared_ptr<Notes> notes() const noexcept = 0;
  /// A line for the daemon's log, of which the first 499 bytes count; 100 lines a minute.
  virtual void log(std::string_view line) const noexcept = 0;

 protected:
  Host() = default;
  ~Host() = default;
};

/// The state of one lane, made when a client has taken it and destroyed when it is over and no handler runs any more. A
/// worker serves one lane and exits.
class Backend {
 public:
  Backend() = default;
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  Backend(Backend&&) = delete;
  Backend& operator=(Backend&&) = delete;

  /// Registers what it serves: Dispatcher::serve, or Dispatcher::offer and Dispatcher::on. Called once, before the
  /// first request. The object outlives the dispatcher's use.
  virtual void add_to(marshal::Dispatcher& dispatcher) = 0;
};

/// For Descriptor::apis: ids_of<YourApi, ...>.data(), of marshal::Api descriptors.
template <class... Apis>
inline constexpr std::array<std::uint16_t, sizeof...(Apis) + 1> ids_of{Apis::id..., 0};

/// What a plug-in finds when it warms up. The pointer may be kept.
struct WarmUp {
  std::span<std::byte> window;  ///< as Host::window()
  std::shared_ptr<DeviceMemory>
      device_memory;  ///< as Host::device_memory(), of which what is made early takes its part
  /// When it is asked for, a client is there: what takes long and the client can do without is better left out.
  std::stop_token stop;
};

/// What a plug-in says of itself. The first four fields stay where they are in every later ABI.
struct Descriptor {
  std::uint32_t magic = plugin::magic;
  std::uint32_t abi = plugin::abi;
  std::uint32_t size = sizeof(Descriptor);
  std::uint32_t dispatcher_size = sizeof(marshal::Dispatcher);
  const char* standard_library = plugin::standard_library;
  const char* name = nullptr;  ///< as in isthmus-NAME.so
  /// Called once, before the worker takes a lane: finds the device, warms what takes long. Its line goes to the log
  /// ("PoCL 3.1, 1 device"); an error keeps the worker from serving, and its text goes to the log. May be null.
  Result<std::string> (*prepare)() = nullptr;
  /// Called once, when a client has taken the lane. `host` is valid until the backend is destroyed. With an error, the
  /// lane ends and the client is told the text.
  Result<std::unique_ptr<Backend>> (*open_lane)(Host& host) = nullptr;
  /// Called once after prepare(), where the daemon keeps warm workers: makes what the next client will want and what
  /// does not depend on the client (a device's context, the driver's knowledge of the region). It runs in a thread of
  /// its own, while the worker waits for a client and perhaps already serves it: open_lane() and handlers may run
  /// meanwhile. Its line goes to the log; an error does, too, and the worker serves all the same. May be null.
  Result<std::string> (*warm)(const WarmUp& with) = nullptr;
  /// Names of the variables of a client's environment that its driver reads as it starts; a null pointer ends them.
  /// They reach the worker's environment where the host's configuration does not set them: then prepare() is called
  /// when the client is there, and not before. May be null: none.
  const char* const* environment = nullptr;
  /// Whether the plug-in, which is prepared, serves a client with that variable ("KEY=VALUE", a name of `environment`)
  /// as if its driver had started with it: then no other worker is needed. May be null: it does not.
  bool (*suits)(std::string_view variable) = nullptr;
  /// Ids of the APIs that it serves; a 0 ends them. A worker whose plug-ins claim one id twice says so as it starts,
  /// and serves nobody. May be null: then that shows when the first lane is opened.
  const std::uint16_t* apis = nullptr;
};

}  // namespace isthmus::plugin

/// The one symbol that a plug-in exports; ISTHMUS_PLUGIN defines it.
extern "C" const isthmus::plugin::Descriptor* isthmus_plugin_entry() noexcept;

/// Makes a library a plug-in, once in it, outside of namespaces: ISTHMUS_PLUGIN("name", prepare or nullptr, open_lane),
/// and behind them further fields of the descriptor, in their order: ISTHMUS_PLUGIN("name", prepare, open_lane, .warm =
/// f).
// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): it defines a symbol
#define ISTHMUS_PLUGIN(plugin_name, prepare_function, open_lane_function, ...)         \
  extern "C" __attribute__((visibility("default"))) const isthmus::plugin::Descriptor* \
  isthmus_plugin_entry() noexcept {                                                    \
    static constexpr isthmus::plugin::Descriptor descriptor{                           \
        .name = (plugin_name),                                                         \
        .prepare = (prepare_function),                                                 \
        .open_lane = (open_lane_function)__VA_OPT__(, ) __VA_ARGS__};                  \
    return &descriptor;                                                                \
  }
