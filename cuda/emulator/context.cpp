#include "context.h"

#if defined(__x86_64__)
// Saves the registers that a function preserves for its caller, and restores those of the other context. It is about fifteen times faster
// than swapcontext, which makes a system call for the signal mask.
asm(R"(.text
.hidden castor_emulator_switch
.globl castor_emulator_switch
.type castor_emulator_switch, @function
castor_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size castor_emulator_switch, .-castor_emulator_switch
.section .note.GNU-stack, "", @progbits
.text
)");
extern "C" void castor_emulator_switch(void **save, void *to);
#endif

namespace castor::emulator {

#if defined(__x86_64__)

void prepare(Context &context, char *stack, size_t bytes, void (*entry)()) {
  constexpr int saved_registers = 6;
  void **top = reinterpret_cast<void **>(stack + bytes);
  *--top = nullptr;  // the address that entry would return to; the alignment of the stack also requires it
  *--top = reinterpret_cast<void *>(entry);
  for (int i = 0; i < saved_registers; i++) *--top = nullptr;
  context.stack_pointer = top;
}

void switch_context(Context &from, Context &to) { castor_emulator_switch(&from.stack_pointer, to.stack_pointer); }

#else

void prepare(Context &context, char *stack, size_t bytes, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

void switch_context(Context &from, Context &to) { swapcontext(&from, &to); }

#endif

}  // namespace castor::emulator
