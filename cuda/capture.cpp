// Graphs on a GPU. The launches of a thread are captured in a stream of their own, so that work of other threads is not captured with them.
#include <utility>
#include "../abi/capture.h"
#include "../kernels/table.h"
#include "device.h"
#include "stream.h"

namespace castor::cuda {
namespace {

class GpuGraph final : public Graph {
 public:
  GpuGraph(Capture &capture, Stream &home, cudaGraphExec_t exec, Memory random_base)
      : Graph(capture), home_(home), exec_(exec), random_base_(random_base) {}

  ~GpuGraph() override {
    if (!home_.context.gpu.lost()) {
      cudaStreamSynchronize(home_.context.stream);  // the graph may still be running
      cudaGraphExecDestroy(exec_);
    }
    MemoryPool::release(random_base_.block);
  }

 private:
  Stream &home_;  // of the thread that captured the graph, which owns its memory whichever thread replays it
  const cudaGraphExec_t exec_;
  const Memory random_base_;

  void run(const Draw &draw) override {
    Context &context = home_.context;
    Stream &mine = context.gpu.stream();
    if (&mine != &home_) home_.after(mine);
    set_random_base(context, static_cast<uint64_t *>(random_base_.data), draw.seed, draw.added);
    context.launched("graph");
    check(context.gpu, cudaGraphLaunch(exec_, context.stream), "graph");
    if (&mine != &home_) mine.after(home_);
  }
};

class GpuCapture final : public Capture {
 public:
  Context context;

  GpuCapture(Stream &home, uint64_t seed, uint64_t offset)
      : Capture(home.context.gpu, home.context.gpu.segments(), home.number, seed, offset), context(home.context), home_(home) {
    context.pool = pool_;
    random_base_ = context.allocate(2 * sizeof(uint64_t));
    if (!random_base_.data) fail(CASTOR_OUT_OF_MEMORY, "the GPU has no memory left for a graph");
    context.random_base = static_cast<const uint64_t *>(random_base_.data);
    check(context.gpu, cudaStreamCreateWithFlags(&context.stream, cudaStreamNonBlocking), "capture");
    // Relaxed, because this thread and others allocate memory during the capture.
    check(context.gpu, cudaStreamBeginCapture(context.stream, cudaStreamCaptureModeRelaxed), "capture");
  }

  ~GpuCapture() override {
    if (!ended_) drop(end_stream());
    if (random_base_.block) MemoryPool::release(random_base_.block);
    if (!context.gpu.lost()) cudaStreamDestroy(context.stream);
    cudaGetLastError();
  }

  const Backend &kernels() override { return backend; }
  Memory allocate(int64_t bytes) override { return context.allocate(bytes); }

  std::shared_ptr<Graph> end() override {
    const cudaGraph_t graph = end_stream();
    check(context.gpu, error_, "capture");
    cudaGraphExec_t exec;
    const cudaError_t error = cudaGraphInstantiate(&exec, graph, 0);
    drop(graph);
    check(context.gpu, error, "capture");
    return std::make_shared<GpuGraph>(*this, home_, exec, std::exchange(random_base_, {nullptr, nullptr}));
  }

 private:
  Stream &home_;
  Memory random_base_{nullptr, nullptr};
  bool ended_ = false;
  cudaError_t error_ = cudaSuccess;

  cudaGraph_t end_stream() {
    ended_ = true;
    cudaGraph_t graph = nullptr;
    error_ = cudaStreamEndCapture(context.stream, &graph);
    return graph;
  }
  static void drop(cudaGraph_t graph) {
    if (graph) cudaGraphDestroy(graph);
  }
};

}  // namespace

std::unique_ptr<Capture> Gpu::begin_capture(uint64_t seed, uint64_t offset) {
  return std::make_unique<GpuCapture>(stream(), seed, offset);
}

Context &Gpu::context_now() {
  Capture *const capture = capturing(*this);
  return capture ? static_cast<GpuCapture *>(capture)->context : stream().context;
}

}  // namespace castor::cuda
