// Calls of kernels that are recorded, with copies of their arguments, to be made later: by a graph any number of times, by a stream once.
#pragma once
#include <memory>
#include "../abi/capture.h"

namespace castor {

struct Step {
  const char *const kind;  // the name of a field of Backend
  const int op;            // the number within the kind, or -1 where the kind has no ops

  Step(const char *kind, int op) : kind(kind), op(op) {}
  virtual ~Step() = default;
  virtual void run(const Backend &kernels, const Draw &draw) = 0;
};

// Takes the calls that a thread makes.
class Recording {
 public:
  virtual void add(std::unique_ptr<Step> step) = 0;

 protected:
  ~Recording() = default;
};

// The recording that takes the calls of this thread; null while they run at once.
extern thread_local Recording *recording;

// The table of kernels that adds each call to the recording of its thread.
const Backend &recorder();

}  // namespace castor
