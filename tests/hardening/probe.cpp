// SPDX-License-Identifier: GPL-2.0-or-later
// What a function finds in memory that it has not set: exit status 0 if nothing, 1 if it is what
// others have left there.
#include <array>
#include <cstddef>

namespace {

using Memory = std::array<unsigned char, 512>;

/// Keeps the compiler from knowing what the memory holds.
void touch(Memory& memory) { asm volatile("" : : "r"(memory.data()) : "memory"); }

[[gnu::noinline]] void leave_something() {
  Memory memory;
  memory.fill(0xA5);
  touch(memory);
}

[[gnu::noinline]] bool finds_nothing() {
  Memory memory;
  touch(memory);
  for (const unsigned char byte : memory) {
    if (byte != 0) return false;
  }
  return true;
}

}  // namespace

int main() {
  leave_something();
  return finds_nothing() ? 0 : 1;
}
