// Graph capture on the CPU: the calls of a thread are recorded, and a replay makes them again in order.
#include "graph.h"
#include "backend.h"
#include "memory.h"
#include "recorder.h"

namespace castor {
namespace {

using Steps = std::vector<std::unique_ptr<Step>>;

struct HostSegments final : MemoryPool::Source {
  void *map(int64_t bytes) override { return allocate(bytes); }
  void unmap(void *data, int64_t bytes) override { release(data, bytes); }
} segments;

class CpuGraph final : public Graph {
 public:
  CpuGraph(Capture &capture, const Backend &kernels, Steps steps) : Graph(capture), kernels_(kernels), steps_(std::move(steps)) {}

 private:
  const Backend &kernels_;
  const Steps steps_;

  void run(const Draw &draw) override {
    for (const auto &step : steps_) step->run(kernels_, draw);
  }
};

class CpuCapture final : public Capture, private Recording {
 public:
  CpuCapture(Device &cpu, uint64_t seed, uint64_t offset) : Capture(cpu, segments, 0, seed, offset) { recording = this; }
  ~CpuCapture() override { recording = nullptr; }
  const Backend &kernels() override { return recorder(); }
  std::shared_ptr<Graph> end() override { return std::make_shared<CpuGraph>(*this, *device.kernels.load(), std::move(steps_)); }

 private:
  Steps steps_;

  void add(std::unique_ptr<Step> step) override { steps_.push_back(std::move(step)); }
};

}  // namespace

std::unique_ptr<Capture> begin_cpu_capture(Device &cpu, uint64_t seed, uint64_t offset) {
  return std::make_unique<CpuCapture>(cpu, seed, offset);
}

}  // namespace castor
