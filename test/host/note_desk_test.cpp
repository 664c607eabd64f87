// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/note_desk.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "src/transport/daemon_protocol.hpp"
#include "src/transport/descriptor_message.hpp"

namespace isthmus::host {
namespace {

using wire::NoteAnswer;
using wire::NoteRequest;
using wire::NoteWish;

// Two desks at one board, and the workers' ends of their sockets.
class NoteDeskTest : public testing::Test {
 public:
  struct Worker {
    UniqueFd socket;
    std::unique_ptr<NoteDesk> desk;
    std::string broken;
  };
  struct Answered {
    NoteAnswer answer;
    UniqueFd descriptor;
  };

  void SetUp() override {
    auto made = EventLoop::create(LoopEngine::epoll);
    ASSERT_TRUE(made) << made.error().message;
    loop = std::move(*made);
    for (Worker* const worker : {&first, &second}) {
      std::array<int, 2> pair{};
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
      worker->socket.reset(pair[0]);
      worker->desk = std::make_unique<NoteDesk>(*loop, board, UniqueFd(pair[1]),
                                                [worker](std::string_view why) { worker->broken = why; });
    }
  }
  void look() {
    loop->call_after(std::chrono::milliseconds(1), [this] { loop->stop(); });
    EXPECT_TRUE(loop->run());
  }
  // What is answered; nothing where nobody does.
  std::optional<Answered> say(const Worker& worker, const NoteRequest& request, int descriptor = -1,
                              std::size_t bytes = sizeof(NoteRequest)) {
    EXPECT_TRUE(send_with_descriptor(worker.socket.get(), std::as_bytes(std::span(&request, 1)).first(bytes),
                                     descriptor, MSG_NOSIGNAL));
    look();
    Answered answered;
    auto received = receive_with_descriptors(worker.socket.get(),
                                             std::as_writable_bytes(std::span(&answered.answer, 1)), MSG_DONTWAIT);
    answered.descriptor = std::move(received.descriptors.front());
    return received.bytes == static_cast<ssize_t>(sizeof(NoteAnswer)) ? std::optional(std::move(answered))
                                                                      : std::nullopt;
  }
  static NoteRequest pinning(std::string_view text) {
    NoteRequest request{.want = NoteWish::pin, .size = text.size()};
    std::memcpy(request.bytes.data(), text.data(), text.size());
    return request;
  }
  static std::string text_of(const Answered& answered) {
    return {reinterpret_cast<const char*>(answered.answer.bytes.data()), answered.answer.size};
  }

  std::shared_ptr<NoteBoard> board = std::make_shared<NoteBoard>();
  std::unique_ptr<EventLoop> loop;
  Worker first;
  Worker second;
};

TEST_F(NoteDeskTest, HandsNotesAndDescriptorsFromOneWorkerToTheOther) {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto plain = say(first, pinning("plain"));
  const auto with = say(first, pinning("with"), null.get());
  ASSERT_TRUE(plain && with);
  ASSERT_EQ(plain->answer.done, 1U);
  ASSERT_EQ(with->answer.done, 1U);
  EXPECT_NE(plain->answer.name, with->answer.name);
  const auto read = say(second, {.want = NoteWish::read, .name = plain->answer.name});
  ASSERT_TRUE(read);
  EXPECT_EQ(text_of(*read), "plain");
  EXPECT_FALSE(read->descriptor);
  const auto read_with = say(second, {.want = NoteWish::read, .name = with->answer.name});
  ASSERT_TRUE(read_with && read_with->descriptor);
  EXPECT_EQ(text_of(*read_with), "with");
  struct stat ours{};
  struct stat theirs{};
  ASSERT_EQ(fstat(null.get(), &ours), 0);
  ASSERT_EQ(fstat(read_with->descriptor.get(), &theirs), 0);
  EXPECT_EQ(ours.st_rdev, theirs.st_rdev);
  EXPECT_EQ(say(second, {.want = NoteWish::take_down, .name = plain->answer.name})->answer.done, 0U) << "not its own";
  EXPECT_EQ(say(first, {.want = NoteWish::take_down, .name = plain->answer.name})->answer.done, 1U);
  EXPECT_EQ(say(second, {.want = NoteWish::read, .name = plain->answer.name})->answer.done, 0U);
  first.desk.reset();
  EXPECT_EQ(say(second, {.want = NoteWish::read, .name = with->answer.name})->answer.done, 0U)
      << "gone with its worker";
  EXPECT_EQ(board->size(), 0U);
  EXPECT_EQ(first.broken + second.broken, "");
}

TEST_F(NoteDeskTest, KnowsNoNameThatItHasNotGiven) {
  ASSERT_TRUE(say(first, pinning("one")));
  NoteRequest request{.want = NoteWish::read};
  EXPECT_EQ(say(second, request)->answer.done, 0U);
  request.name.fill(std::byte{0xff});
  EXPECT_EQ(say(second, request)->answer.done, 0U);
}

TEST_F(NoteDeskTest, KeepsNoMoreThanAWorkerMayLeave) {
  NoteBoard small;
  const std::array<std::byte, 1> note{};
  for (std::size_t i = 0; i < plugin::Notes::most_descriptors; ++i) {
    ASSERT_TRUE(small.pin(this, note, UniqueFd(dup(STDIN_FILENO))));
  }
  EXPECT_FALSE(small.pin(this, note, UniqueFd(dup(STDIN_FILENO))));
  EXPECT_FALSE(small.pin(&small, note, UniqueFd(dup(STDIN_FILENO)))) << "of the VM";
  for (std::size_t i = small.size(); i < plugin::Notes::most_notes; ++i) {
    ASSERT_TRUE(small.pin(this, note, {}));
  }
  EXPECT_FALSE(small.pin(this, note, {}));
  EXPECT_TRUE(small.pin(&small, note, {})) << "another";
  small.forget(this);
  EXPECT_EQ(small.size(), 1U);
  EXPECT_TRUE(small.pin(this, note, UniqueFd(dup(STDIN_FILENO))));
}

TEST_F(NoteDeskTest, TurnsAwayAWorkerThatSendsWhatIsNoRequest) {
  EXPECT_FALSE(say(first, {.want = NoteWish::pin, .size = wire::note_size + 1}));
  EXPECT_NE(first.broken, "");
  EXPECT_FALSE(say(first, pinning("late"))) << "it is not listened to any more";
  EXPECT_FALSE(say(second, pinning("short"), -1, sizeof(NoteRequest) - 1));
  EXPECT_NE(second.broken, "");
  EXPECT_EQ(board->size(), 0U);
}

TEST_F(NoteDeskTest, TurnsAwayAWorkerThatLeavesASocketToBeClosed) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(say(first, pinning("socket"), socket.get()));
  EXPECT_NE(first.broken, "");
  EXPECT_EQ(board->size(), 0U);
}

}  // namespace
}  // namespace isthmus::host
