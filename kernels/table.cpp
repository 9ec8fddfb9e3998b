#include "table.h"

namespace castor::CASTOR_ISA {

#define CASTOR_ENTRY(name) .name = name,
const Backend backend = {CASTOR_KERNELS(CASTOR_ENTRY)};
#undef CASTOR_ENTRY

#define CASTOR_ONE(name) +1
static_assert(sizeof(Backend) == (CASTOR_KERNELS(CASTOR_ONE)) * sizeof(void *), "a row of the table has no kernel");
#undef CASTOR_ONE

}  // namespace castor::CASTOR_ISA
