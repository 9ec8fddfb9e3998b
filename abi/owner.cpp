// Frees what a thread leaves behind when it ends.
#include "owner.h"
#include <atomic>
#include "castor.h"

namespace castor {

__thread int32_t owner_here = 0;

namespace {

struct Heir {
  int32_t owner = 0;
  ~Heir() {
    if (owner == 0) return;
    free_graphs_of(owner);
    free_storages_of(owner);
  }
};
thread_local Heir heir;

}  // namespace
}  // namespace castor

int32_t castor_free_at_exit() {
  static std::atomic<int32_t> last{0};
  if (castor::owner_here == 0) castor::owner_here = castor::heir.owner = ++last;
  return CASTOR_OK;
}
