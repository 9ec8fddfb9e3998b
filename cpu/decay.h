// Gives cached memory back to the system when it has not been used for some seconds (CASTOR_CACHE_SECONDS).
#pragma once

namespace castor {

void note_cached();  // after memory was added to the cache

}  // namespace castor
