// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "isthmus/reference.hpp"

/// \file
/// The OpenCL API's messages: what frontend (guest/opencl) and backend (this folder) say to each other.
///
/// Statuses are OpenCL's own error codes. Objects are named by numbers that the client chooses: it counts up and never
/// uses one twice in a lane, so that a stale name finds nothing. A post fails late: the code goes to its command's
/// event, where the client asked for one.

namespace isthmus::opencl {

inline constexpr std::uint16_t api_id = 2;

/// Names an object of the lane, or nothing (0). Each kind of object has names of its own.
using Id = std::uint64_t;

template <std::uint16_t Opcode>
struct Kind {
  static constexpr std::uint16_t api = api_id;
  static constexpr std::uint16_t opcode = Opcode;
};

struct Nothing {};

/// What every enqueued command begins with. Its trailing bytes begin with `waits` names (Id) of events.
struct Command {
  Id queue = 0;
  Id event = 0;  ///< becomes the name of the command's event; 0: nobody asked for one
  std::uint32_t waits = 0;
  std::uint32_t reserved = 0;
};

/// Finds the host's devices. Trailing bytes of the reply: one DeviceRow a device; its place is the device's number.
struct Discover : Kind<1> {
  using Request = Nothing;
  struct Reply {
    std::uint32_t devices = 0;
    std::uint32_t platforms = 0;
  };
};
struct DeviceRow {
  std::uint32_t platform = 0;  ///< 0, 1, ...; rows are in this order
  std::uint32_t reserved = 0;
  std::uint64_t type = 0;  ///< CL_DEVICE_TYPE_*
};

enum class Subject : std::uint32_t {
  platform,
  device,
  program,
  build,
  kernel,
  argument,
  work_group,
  event,
  profile,
  image_formats  ///< of a context: `parameter` is the kind of image, `detail` the flags
};

/// Passes a question on to the driver: clGet...Info. Trailing bytes of the reply: a part of the answer, from `offset`.
struct Query : Kind<2> {
  struct Request {
    Subject subject = Subject::platform;
    std::uint32_t parameter = 0;  ///< CL_*; those whose answer names memory of the host are refused
    Id object = 0;                ///< the object, or the number of a platform or device
    std::uint64_t detail = 0;     ///< number of a device (build, work_group) or of an argument
    std::uint64_t offset = 0;
  };
  struct Reply {
    std::uint64_t total = 0;  ///< bytes of the whole answer
  };
};

/// Trailing bytes: `devices` numbers of devices (uint32). Trailing bytes of the reply: the numbers of those that the
/// driver's context then has: some drivers take a whole device for its parts.
struct CreateContext : Kind<3> {
  struct Request {
    Id id = 0;
    std::uint32_t devices = 0;
    std::uint32_t has_user_sync = 0;  ///< 1: CL_CONTEXT_INTEROP_USER_SYNC was given
    std::uint64_t user_sync = 0;      ///< its value, which the driver judges
  };
  using Reply = Nothing;
};

struct CreateQueue : Kind<4> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint64_t properties = 0;
    std::uint32_t device = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// A buffer over slab memory, which the driver uses in place if the device can. The memory stays the buffer's until
/// MemoryReleased comes.
struct CreateBuffer : Kind<5> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint64_t flags = 0;
    Reference memory;
  };
  using Reply = Nothing;
};

struct CreateSubBuffer : Kind<6> {
  struct Request {
    Id id = 0;
    Id parent = 0;
    std::uint64_t flags = 0;
    std::uint64_t origin = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};

/// What a program is made from. `intermediate`: a language that the driver names in CL_DEVICE_IL_VERSION, as SPIR-V.
enum class ProgramForm : std::uint32_t { source, intermediate };

struct CreateProgram : Kind<7> {
  struct Request {
    Id id = 0;
    Id context = 0;
    Reference source;
    ProgramForm form = ProgramForm::source;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// Trailing bytes: `devices` rows. Trailing bytes of the reply: a status for each (int32). `binaries` names them all,
/// one after the other.
struct CreateProgramFromBinaries : Kind<8> {
  struct Request {
    Id id = 0;
    Id context = 0;
    Reference binaries;
    std::uint32_t devices = 0;
    std::uint32_t reserved = 0;
  };
  struct Reply {
    std::int32_t status = 0;
    std::uint32_t reserved = 0;
  };
};
struct BinaryRow {
  std::uint32_t device = 0;
  std::uint32_t reserved = 0;
  std::uint64_t size = 0;  ///< bytes
};

/// Trailing bytes: `devices` numbers of devices (uint32; none: all of the program's), then the options.
struct BuildProgram : Kind<9> {
  struct Request {
    Id id = 0;
    std::uint32_t devices = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// Writes the binary for one device to `into`, if it is large enough.
struct GetBinary : Kind<10> {
  struct Request {
    Id program = 0;
    std::uint32_t device = 0;
    std::uint32_t reserved = 0;
    Reference into;
  };
  struct Reply {
    std::uint64_t size = 0;  ///< bytes
  };
};

/// Trailing bytes: the name. Trailing bytes of the reply: an ArgumentKind (uint32) for each argument.
struct CreateKernel : Kind<11> {
  struct Request {
    Id id = 0;
    Id program = 0;
  };
  struct Reply {
    std::uint32_t arguments = 0;
    std::uint32_t reserved = 0;
  };
};
/// `memory` is a buffer; `shared` an address in the region, where FindWindow says that it lies: what a pointer to
/// shared virtual memory is.
enum class ArgumentKind : std::uint32_t { value, memory, local, unknown, unsupported, image, sampler, shared };

/// Has the driver check a value's size. Trailing bytes: the value.
struct CheckArgument : Kind<12> {
  struct Request {
    Id kernel = 0;
    std::uint32_t index = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

struct CreateUserEvent : Kind<13> {
  struct Request {
    Id id = 0;
    Id context = 0;
  };
  using Reply = Nothing;
};

struct SetUserEvent : Kind<14> {
  struct Request {
    Id id = 0;
    std::int32_t status = 0;  ///< CL_COMPLETE or negative
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

enum class ObjectKind : std::uint32_t { context, queue, memory, program, kernel, event, sampler };

/// The client has let an object go.
struct Release : Kind<15> {
  struct Request {
    ObjectKind kind = ObjectKind::context;
    std::uint32_t reserved = 0;
    Id id = 0;
  };
  using Reply = Nothing;
};

struct Flush : Kind<16> {
  struct Request {
    Id queue = 0;
  };
  using Reply = Nothing;
};

/// Answered when everything that was enqueued before is complete.
struct Finish : Kind<17> {
  struct Request {
    Id queue = 0;
  };
  using Reply = Nothing;
};

/// Answered when all are complete. Trailing bytes: names of events.
struct WaitForEvents : Kind<18> {
  using Request = Nothing;
  using Reply = Nothing;
};

/// Asks for an EventReached.
struct WatchEvent : Kind<19> {
  struct Request {
    Id event = 0;
    std::uint64_t token = 0;
    std::int32_t state = 0;  ///< CL_SUBMITTED, CL_RUNNING or CL_COMPLETE
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// A command that the client itself carries out: it copies between the buffer, in the slab, and memory of its own. The
/// queue waits meanwhile. The client learns that it is its turn by the reply (of a call) or by HostTurn (a post).
/// Without a buffer (0) it is the turn alone: what the client does then is no affair of the driver's.
struct HostAccess : Kind<20> {
  struct Request {
    Command command;
    Id memory = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    Id turn = 0;
    std::uint32_t writes = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// The client has done its copy.
struct HostDone : Kind<21> {
  struct Request {
    Id turn = 0;
    std::int32_t status = 0;  ///< CL_COMPLETE or negative
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// Trailing bytes after the events: `arguments` times an ArgumentRow, then its value padded to 8 bytes (the
/// name of a memory object or sampler; the address of shared memory, or 0; nothing for local memory).
struct EnqueueKernel : Kind<22> {
  struct Request {
    Command command;
    Id kernel = 0;
    std::uint32_t dimensions = 0;
    std::uint32_t arguments = 0;
    std::uint32_t has_local = 0;
    std::uint32_t reserved = 0;
    std::array<std::uint64_t, 3> offset{};
    std::array<std::uint64_t, 3> global{};
    std::array<std::uint64_t, 3> local{};
  };
  using Reply = Nothing;
};
struct ArgumentRow {
  std::uint32_t index = 0;
  ArgumentKind kind = ArgumentKind::value;
  std::uint64_t size = 0;  ///< bytes of the value, or of local memory
};

/// Trailing bytes after the events: what is written.
struct EnqueueWrite : Kind<23> {
  struct Request {
    Command command;
    Id memory = 0;
    std::uint64_t offset = 0;
  };
  using Reply = Nothing;
};

struct EnqueueCopy : Kind<24> {
  struct Request {
    Command command;
    Id from = 0;
    Id to = 0;
    std::uint64_t from_offset = 0;
    std::uint64_t to_offset = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};

/// A box in a buffer: bytes, rows, slices.
struct Box {
  std::array<std::uint64_t, 3> origin{};
  std::uint64_t row_pitch = 0;    ///< bytes; not 0
  std::uint64_t slice_pitch = 0;  ///< bytes; not 0
};

struct EnqueueCopyBox : Kind<25> {
  struct Request {
    Command command;
    Id from = 0;
    Id to = 0;
    Box from_box;
    Box to_box;
    std::array<std::uint64_t, 3> region{};
  };
  using Reply = Nothing;
};

inline constexpr std::size_t max_pattern = 128;

struct EnqueueFill : Kind<26> {
  struct Request {
    Command command;
    Id memory = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint32_t pattern_size = 0;  ///< bytes; a power of two
    std::uint32_t reserved = 0;
    std::array<std::byte, max_pattern> pattern{};
  };
  using Reply = Nothing;
};

struct EnqueueMarker : Kind<27> {
  struct Request {
    Command command;
    std::uint32_t barrier = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

struct EnqueueMap : Kind<28> {
  struct Request {
    Command command;
    Id memory = 0;
    std::uint64_t flags = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  using Reply = Nothing;
};

struct EnqueueUnmap : Kind<29> {
  struct Request {
    Command command;
    Id memory = 0;
    std::uint64_t offset = 0;
  };
  using Reply = Nothing;
};

/// How an image lies in memory. Sizes are pixels, pitches bytes; what the kind of image has not is 0.
struct ImageShape {
  std::uint32_t kind = 0;           ///< CL_MEM_OBJECT_IMAGE*
  std::uint32_t channel_order = 0;  ///< CL_RGBA, ...
  std::uint32_t channel_type = 0;   ///< CL_UNORM_INT8, ...
  std::uint32_t reserved = 0;
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  std::uint64_t depth = 0;
  std::uint64_t layers = 0;
  std::uint64_t row_pitch = 0;
  std::uint64_t slice_pitch = 0;  ///< also from layer to layer
};

/// An image, as CreateBuffer. Or, where `buffer` names one, an image of its bytes (CL_MEM_OBJECT_IMAGE1D_BUFFER).
struct CreateImage : Kind<30> {
  struct Request {
    Id id = 0;
    Id context = 0;
    Id buffer = 0;
    std::uint64_t flags = 0;
    Reference memory;
    ImageShape shape;
  };
  using Reply = Nothing;
};

struct CreateSampler : Kind<31> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint32_t normalized = 0;
    std::uint32_t addressing = 0;  ///< CL_ADDRESS_*
    std::uint32_t filter = 0;      ///< CL_FILTER_*
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// Copies a region of pixels between two images, or an image and a buffer, which lies there without gaps.
struct EnqueueCopyImage : Kind<32> {
  struct Request {
    Command command;
    Id from = 0;
    Id to = 0;
    std::array<std::uint64_t, 3> from_origin{};  ///< pixels; of a buffer, the first is the offset in bytes
    std::array<std::uint64_t, 3> to_origin{};
    std::array<std::uint64_t, 3> region{};
  };
  using Reply = Nothing;
};

struct EnqueueFillImage : Kind<33> {
  struct Request {
    Command command;
    Id image = 0;
    std::array<std::byte, 16> color{};  ///< four channels, as clEnqueueFillImage takes them
    std::array<std::uint64_t, 3> origin{};
    std::array<std::uint64_t, 3> region{};
  };
  using Reply = Nothing;
};

/// Trailing bytes: `devices` numbers of devices (uint32; none: all of the program's), `headers` names of programs, as
/// many strings (the names that #include knows them by), and the options, a string.
struct CompileProgram : Kind<34> {
  struct Request {
    Id id = 0;
    std::uint32_t devices = 0;
    std::uint32_t headers = 0;
  };
  using Reply = Nothing;
  static constexpr std::uint32_t most_programs = 1024;
  static constexpr std::uint32_t longest_string = 16 * 1024;
};

/// Makes program `id`. Trailing bytes: `devices` numbers of devices (uint32; none: all of the context's), `programs`
/// names of programs, and the options, a string.
struct LinkProgram : Kind<35> {
  struct Request {
    Id id = 0;
    Id context = 0;
    std::uint32_t devices = 0;
    std::uint32_t programs = 0;
  };
  struct Reply {
    std::int32_t status = 0;  ///< the driver's code; a program may have been made all the same
    std::uint32_t made = 0;   ///< 1: there is a program
  };
};

/// Where the region lies in the worker. A client that has it at the same address has shared virtual memory on the
/// host's CPU devices: a pointer into the slab means the same to its program and to a kernel. Fails with
/// CL_INVALID_OPERATION where the host's OpenCL cannot be given such pointers.
struct FindWindow : Kind<36> {
  using Request = Nothing;
  struct Reply {
    std::uint64_t address = 0;
  };
};

/// Divides a device. Trailing bytes: clCreateSubDevices' properties (int64) without their end. The parts become devices
/// of the lane, with numbers of their own, until its end.
struct CreateSubDevices : Kind<37> {
  struct Request {
    std::uint32_t device = 0;
    std::uint32_t room = 0;  ///< devices that the client can take; 0: none is made, only counted
  };
  struct Reply {
    std::uint32_t count = 0;
    std::uint32_t first = 0;  ///< the first part's number; the others follow
  };
};

/// Trailing bytes: the value, `largest` bytes at most, as the constant's type has them.
struct SetSpecializationConstant : Kind<38> {
  struct Request {
    Id program = 0;
    std::uint32_t constant = 0;  ///< SPIR-V's SpecId
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
  static constexpr std::size_t largest = 8;  // SPIR-V decorates scalars alone so
};

/// Upcall: an event has reached the state that WatchEvent named, or failed.
struct EventReached : Kind<101> {
  struct Request {
    std::uint64_t token = 0;
    std::int32_t status = 0;  ///< the state, or an error
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// Upcall: the client's turn to copy (HostAccess); with an error there is nothing to be done, nor to be answered.
struct HostTurn : Kind<102> {
  struct Request {
    Id turn = 0;
    std::int32_t status = 0;
    std::uint32_t reserved = 0;
  };
  using Reply = Nothing;
};

/// Upcall: the driver is done with a buffer's memory.
struct MemoryReleased : Kind<103> {
  struct Request {
    Id id = 0;
  };
  using Reply = Nothing;
};

}  // namespace isthmus::opencl
