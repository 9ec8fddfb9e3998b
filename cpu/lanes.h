// The threads that do the work of streams.
#pragma once
#include <memory>

namespace castor {

class Stream;

// The caller of these functions holds streams_lock. A stream has got work.
void wake_lanes(const std::shared_ptr<Stream> &stream);
// Work of a stream has ended, for which that of other streams may have waited. `rests`: there is no more of it.
void wake_lanes_after(Stream &stream, bool rests);

}  // namespace castor
