// A CUDA runtime without a GPU, for `npm run test:launches`: it is linked with the objects that nvcc made for the library, in place of
// libcudart_static. Its devices have memory, of which nothing is touched, and their kernels do nothing. But each launch is compared with
// what ptxas says of the kernel, as a driver would, and what is wrong is reported, with the name of the kernel.
//
// Environment:
//   CASTOR_LAUNCH_KERNELS  a file with a line for each kernel: mangled name, registers, bytes of static shared memory, launch bounds
//   CASTOR_LAUNCH_REPORT   a file to which a line is appended for each kernel when it is launched first, and for each wrong launch
//   CASTOR_LAUNCH_ARCH     the architecture of the devices: 90 (H200) or 80 (A100)
//   CASTOR_LAUNCH_DEVICES  the number of devices
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

namespace {

struct Kernel { long registers, shared, threads; };

struct Device { int architecture, multiprocessors; long shared_optin; };
constexpr Device H200{90, 132, 227 * 1024}, A100{80, 108, 163 * 1024};
constexpr long SHARED_UNASKED = 48 * 1024, REGISTERS = 65536, MOST_BLOCKS = 0x7fffffff, MOST_ACROSS = 65535;
constexpr size_t MEMORY = size_t(1) << 40;  // bytes of a device; more than any has, because what is never touched costs nothing

const char *variable(const char *name) {
  const char *text = std::getenv(name);
  return text && *text ? text : nullptr;
}
long number(const char *name, long otherwise) {
  const char *text = variable(name);
  return text ? std::atol(text) : otherwise;
}

struct State {
  std::mutex mutex;
  std::unordered_map<const void *, std::string> names;  // by the kernel's function on the host
  std::unordered_map<std::string, Kernel> kernels;
  std::unordered_map<const void *, long> asked;         // dynamic shared memory that a kernel was allowed
  std::map<void *, size_t> allocations;
  size_t used = 0;
  std::set<std::string> reported;
  FILE *report = nullptr;
  Device device = number("CASTOR_LAUNCH_ARCH", 90) == 80 ? A100 : H200;
  int devices = int(number("CASTOR_LAUNCH_DEVICES", 1));

  State() {
    if (const char *file = variable("CASTOR_LAUNCH_REPORT")) report = std::fopen(file, "a");
    const char *table = variable("CASTOR_LAUNCH_KERNELS");
    FILE *in = table ? std::fopen(table, "r") : nullptr;
    if (!in) return;
    static char name[1 << 16];
    for (Kernel k; std::fscanf(in, "%65535s %ld %ld %ld", name, &k.registers, &k.shared, &k.threads) == 4;) kernels[name] = k;
    std::fclose(in);
  }
};
// Never destroyed: other threads may run longer than main. Kernels register before main.
State &state() {
  static State &one = *new State;
  return one;
}

thread_local int current = 0;
thread_local bool chosen = false;

// Each line once. Two processes write to one file, so a line is one write.
void tell(const std::string &line) {
  if (!state().report || !state().reported.insert(line).second) return;
  std::fprintf(state().report, "%s\n", line.c_str());
  std::fflush(state().report);
}

// A call for which CUDA sets up a context on the thread's device, which is the first one unless the thread has chosen.
cudaError_t on_device() {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (!chosen) tell("- a thread that has not chosen a GPU sets up a context on the first one");
  return cudaSuccess;
}

void *map(size_t bytes) {
  void *const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}
cudaError_t allocate(void **data, size_t bytes, bool counted) {
  std::lock_guard<std::mutex> lock(state().mutex);
  *data = counted && state().used + bytes > MEMORY ? nullptr : map(bytes);
  if (!*data) return cudaErrorMemoryAllocation;
  state().allocations[*data] = bytes;
  if (counted) state().used += bytes;
  return cudaSuccess;
}
cudaError_t release(void *data, bool counted) {
  std::lock_guard<std::mutex> lock(state().mutex);
  const auto found = state().allocations.find(data);
  if (found == state().allocations.end()) return data ? cudaErrorInvalidValue : cudaSuccess;
  munmap(data, found->second);
  if (counted) state().used -= found->second;
  state().allocations.erase(found);
  return cudaSuccess;
}

// ---- the check of a launch ---------------------------------------------------------------------------------------------

std::string text_of(const char *what, long has, long allowed) {
  return std::string(" ") + what + " " + std::to_string(has) + " of " + std::to_string(allowed) + ";";
}

// Returns what is wrong with a launch, or an empty text. Registers are given to warps in units of 256, which is 8 for each thread.
std::string wrong(const Kernel &k, const cudaLaunchConfig_t &c, const long *asked) {
  const State &s = state();
  const long threads = long(c.blockDim.x) * c.blockDim.y * c.blockDim.z, dynamic = long(c.dynamicSmemBytes);
  const long registers = (k.registers + 7) / 8 * 8 * 32 * ((threads + 31) / 32);
  std::string text;
  if (threads < 1 || threads > 1024) text += text_of("threads", threads, 1024);
  if (threads > k.threads) text += text_of("threads", threads, k.threads) + " launch bounds;";
  if (registers > REGISTERS) text += text_of("registers of a block", registers, REGISTERS);
  if (!asked && k.shared + dynamic > SHARED_UNASKED) text += text_of("shared bytes", k.shared + dynamic, SHARED_UNASKED);
  if (asked && dynamic > *asked) text += text_of("dynamic shared bytes", dynamic, *asked);
  if (asked && k.shared + *asked > s.device.shared_optin) text += text_of("shared bytes", k.shared + *asked, s.device.shared_optin);
  if (c.gridDim.x == 0 || c.gridDim.y == 0 || c.gridDim.z == 0) text += " an empty grid;";
  if (long(c.gridDim.x) > MOST_BLOCKS) text += text_of("blocks along x", c.gridDim.x, MOST_BLOCKS);
  if (long(c.gridDim.y) > MOST_ACROSS) text += text_of("blocks along y", c.gridDim.y, MOST_ACROSS);
  if (long(c.gridDim.z) > MOST_ACROSS) text += text_of("blocks along z", c.gridDim.z, MOST_ACROSS);
  if (threads % 32 != 0 && threads != 1) text += " a part of a warp: " + std::to_string(threads) + " threads;";
  return text;
}

void check(const cudaLaunchConfig_t &config, const void *function) {
  State &s = state();
  std::lock_guard<std::mutex> lock(s.mutex);
  if (!s.report) return;
  const auto name = s.names.find(function);
  if (name == s.names.end()) return tell("- a function that is not a kernel was launched");
  const auto known = s.kernels.find(name->second);
  if (known == s.kernels.end()) return tell(name->second + " has no code for this architecture");
  const auto asked = s.asked.find(function);
  const std::string text = wrong(known->second, config, asked == s.asked.end() ? nullptr : &asked->second);
  tell(name->second + (text.empty() ? "" : " wrong:" + text));
}

}  // namespace

extern "C" {

// ---- what nvcc's code calls --------------------------------------------------------------------------------------------

void **__cudaRegisterFatBinary(void *) {
  static void *handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void **) {}
void __cudaUnregisterFatBinary(void **) {}
void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, uint3 *, uint3 *, dim3 *, dim3 *, int *) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().names[host] = name;
}
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function) {
  *kernel = cudaKernel_t(function);
  return cudaSuccess;
}
unsigned __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *, void *) { return 0; }
// The library launches by cudaLaunchKernelExC only.
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void **, size_t, cudaStream_t) {
  std::lock_guard<std::mutex> lock(state().mutex);
  tell("- a kernel was launched by <<< >>>, which this check does not see");
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **) {
  check(*config, function);
  return on_device();
}
cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
  std::lock_guard<std::mutex> lock(state().mutex);
  state().asked[function] = value;
  return cudaSuccess;
}

// ---- devices -----------------------------------------------------------------------------------------------------------

cudaError_t cudaDriverGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *count) { return *count = state().devices, cudaSuccess; }
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= state().devices) return cudaErrorInvalidDevice;
  current = device, chosen = true;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
  const Device &device = state().device;
  std::memset(properties, 0, sizeof *properties);
  std::snprintf(properties->name, sizeof properties->name, "no GPU, only the checks of its launches");
  properties->major = device.architecture / 10;
  properties->minor = device.architecture % 10;
  properties->multiProcessorCount = device.multiprocessors;
  properties->sharedMemPerBlockOptin = size_t(device.shared_optin);
  properties->totalGlobalMem = MEMORY;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) { return *can = 1, cudaSuccess; }
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return on_device(); }
const char *cudaGetErrorString(cudaError_t) { return "an error of the runtime without a GPU"; }
cudaError_t cudaGetLastError() { return cudaSuccess; }

// ---- memory ------------------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void **data, size_t bytes) {
  on_device();
  return allocate(data, bytes, true);
}
cudaError_t cudaFree(void *data) { return release(data, true); }
cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned) {
  on_device();
  return allocate(data, bytes, false);
}
cudaError_t cudaFreeHost(void *data) { return release(data, false); }
cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  std::lock_guard<std::mutex> lock(state().mutex);
  *total = MEMORY, *free = MEMORY - state().used;
  return cudaSuccess;
}
// Only what the host reads is written, with zeros: nothing was computed.
cudaError_t cudaMemcpyAsync(void *to, const void *, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  if (kind == cudaMemcpyDeviceToHost) std::memset(to, 0, bytes);
  return on_device();
}
cudaError_t cudaMemcpyPeerAsync(void *, int, const void *, int, size_t, cudaStream_t) { return on_device(); }
cudaError_t cudaMemsetAsync(void *, int, size_t, cudaStream_t) { return on_device(); }

// ---- streams, events, graphs: everything is done at once ---------------------------------------------------------------

static int object;
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) { return *stream = cudaStream_t(&object), on_device(); }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return on_device(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return on_device(); }
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) { return on_device(); }
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) { return *graph = cudaGraph_t(&object), on_device(); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return *event = cudaEvent_t(&object), on_device(); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return on_device(); }
cudaError_t cudaEventQuery(cudaEvent_t) { return on_device(); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return on_device(); }
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t, unsigned long long) {
  *exec = cudaGraphExec_t(&object);
  return on_device();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) { return on_device(); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }

}
