// Graph capture and replay, and the handles of graphs.
#include <unordered_map>
#include <utility>
#include "capture.h"
#include "check.h"
#include "error.h"
#include "owner.h"
#include "stream.h"

namespace castor {

std::atomic<int> captures{0};

namespace {

// The capture of this thread. A thread that ends in the middle of one, such as a Worker that is terminated, drops it.
struct UnderWay : std::unique_ptr<Capture> {
  using std::unique_ptr<Capture>::operator=;
  ~UnderWay() { if (*this) captures--; }
};
thread_local UnderWay mine;

// The graphs, by their handles.
std::mutex graphs_lock;
struct Entry {
  std::shared_ptr<Graph> graph;
  int32_t owner;
};
std::unordered_map<double, Entry> graphs;
double last_graph = 0;

double enter(std::shared_ptr<Graph> graph) {
  std::lock_guard<std::mutex> lock(graphs_lock);
  graphs[++last_graph] = {std::move(graph), owner_here};
  return last_graph;
}

std::shared_ptr<Graph> find_graph(double handle) {
  std::lock_guard<std::mutex> lock(graphs_lock);
  const auto found = graphs.find(handle);
  if (found == graphs.end()) fail(CASTOR_DISPOSED, "%.17g is not the handle of a graph", handle);
  return found->second.graph;
}

Capture &expect_capture(const Device &device) {
  if (!mine || &mine->device != &device) fail(CASTOR_CAPTURE, "no capture is under way on this device and thread");
  return *mine;
}

void forget_capture() {
  mine.reset();
  captures--;
}

}  // namespace

void free_graphs_of(int32_t owner) {
  std::vector<std::shared_ptr<Graph>> last;  // destroyed after the lock is released
  std::lock_guard<std::mutex> lock(graphs_lock);
  for (auto entry = graphs.begin(); entry != graphs.end();) {
    if (entry->second.owner != owner) {
      entry++;
      continue;
    }
    last.push_back(std::move(entry->second.graph));
    entry = graphs.erase(entry);
  }
}

int64_t graph_bytes(const Device &device) {
  std::lock_guard<std::mutex> lock(graphs_lock);
  int64_t bytes = 0;
  for (const auto &named : graphs) bytes += &named.second.graph->device() == &device ? named.second.graph->kept() : 0;
  return bytes;
}

Capture *capture_on(const Device &device) { return mine && &mine->device == &device ? mine.get() : nullptr; }

Graph::Graph(Capture &capture)
    : device_(capture.device), pool_(std::exchange(capture.pool_, nullptr)), first_offset_(capture.offset),
      uses_(capture.uses_.begin(), capture.uses_.end()), outputs_(std::move(capture.makes_)),
      arriving_(std::move(capture.arriving_)), leaving_(std::move(capture.leaving_)) {}

namespace {

class Replay final : public Work {
 public:
  Replay(std::shared_ptr<Graph> graph, uint64_t seed, uint64_t offset) : graph_(std::move(graph)), seed_(seed), offset_(offset) {}
  std::string name() const override { return "graph_replay"; }
  void run() override { graph_->run_calls(seed_, offset_); }

 private:
  const std::shared_ptr<Graph> graph_;
  const uint64_t seed_, offset_;
};

}  // namespace

// The calls of a graph may write what existed before the capture, too.
void Graph::use(double handle, Storage storage) {
  if (storage.block) device_.use(*storage.block);
  if (!deferring() || device_.id != CASTOR_CPU) return;
  stream_for(device_) ? note_use(handle, storage, Access::write) : settle(handle, storage, Access::write);
}

void Graph::replay(const std::shared_ptr<Graph> &self, uint64_t seed, uint64_t offset) {
  if (!device_.kernels) device_.fail_lost();
  if (deferring()) forget_uses();
  for (const double handle : uses_) {
    if (!is_live(handle)) fail(CASTOR_DISPOSED, "a tensor that the graph uses, and that was created before the capture, has been freed");
    use(handle, find_storage(handle));
  }
  for (const Crossings *copies : {&arriving_, &leaving_})
    for (const auto &copy : *copies) copy->find();
  use_outputs();
  if (Stream *stream = stream_for(device_)) stream->push(std::make_unique<Replay>(self, seed, offset));
  else run_calls(seed, offset);
}

// Readers of the last replay's outputs, on other threads, come before this replay writes them.
void Graph::use_outputs() {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t alive = 0;
  for (const double handle : outputs_) {
    Storage storage;
    if (!find_if_live(handle, storage)) continue;
    outputs_[alive++] = handle;
    use(handle, storage);
  }
  outputs_.resize(alive);
}

void Graph::run_calls(uint64_t seed, uint64_t offset) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto &copy : arriving_) copy->run();
  run({seed, offset - first_offset_});
  for (const auto &copy : leaving_) copy->run();
}

}  // namespace castor

using namespace castor;

int32_t castor_capture_begin(int32_t id, double seed, double offset) {
  return guard("capture_begin", [&] {
    Device &device = find_device(id);
    if (mine) fail(CASTOR_CAPTURE, "a capture is under way already: captures do not nest");
    if (!device.kernels) device.fail_lost();
    if (stream_for(device)) fail(CASTOR_CAPTURE, "work in a stream cannot be captured in a graph. Capture it outside of the stream");
    mine = device.begin_capture(uint64_t(expect_whole(seed, "seed")), uint64_t(expect_whole(offset, "offset")));
    captures++;
  });
}

castor_handle castor_capture_end(int32_t id) {
  double handle = 0;
  set_last_status(guard("capture_end", [&] {
    Capture &capture = expect_capture(find_device(id));
    try {
      handle = enter(capture.end());
    } catch (...) {
      forget_capture();
      throw;
    }
    forget_capture();
  }));
  return handle;
}

int32_t castor_capture_abort(int32_t id) {
  return guard("capture_abort", [&] {
    expect_capture(find_device(id));
    forget_capture();
  });
}

int32_t castor_graph_replay(castor_handle graph, double seed, double offset) {
  return guard("graph_replay", [&] {
    if (mine) fail(CASTOR_CAPTURE, "a graph cannot be replayed while another is captured. Replay it before or after");
    const std::shared_ptr<Graph> known = find_graph(graph);
    known->replay(known, uint64_t(expect_whole(seed, "seed")), uint64_t(expect_whole(offset, "offset")));
  });
}

int32_t castor_graph_free(castor_handle graph) {
  return guard("graph_free", [&] {
    const std::shared_ptr<Graph> last = find_graph(graph);
    std::lock_guard<std::mutex> lock(graphs_lock);
    graphs.erase(graph);
  });
}
