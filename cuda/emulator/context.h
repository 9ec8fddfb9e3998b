// The place where the execution on a stack of its own was interrupted, and the switch to another one.
#pragma once
#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace castor::emulator {

#if defined(__x86_64__)
struct Context { void *stack_pointer = nullptr; };
#else
using Context = ucontext_t;
#endif

// The next switch to the context calls entry, which does not return, on this stack.
void prepare(Context &context, char *stack, size_t bytes, void (*entry)());
void switch_context(Context &from, Context &to);

}  // namespace castor::emulator
