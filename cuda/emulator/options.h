// What the environment asks of the emulator, CASTOR_EMULATOR_ and a name. Read once; tests change it.
#pragma once
#include <cstdint>

namespace castor::emulator {

// Which of the threads that can go on does.
enum class Order {
  forward,      // in turn
  reverse,
  skew_low,     // always the lowest, so that one warp runs as far ahead as the barriers let it
  skew_high,
  random,       // any, at every step
  random_skew,  // by an order of priority that is drawn for each block: finds the most
};

struct Options {
  Order order = Order::random_skew;  // ORDER: forward, reverse, skew-low, skew-high, random, random-skew
  uint64_t seed = 1;                 // SEED
  bool lazy = false;                 // STREAMS=lazy: work waits in its stream until something is waited for, and streams take turns at random
  int devices = 1;                   // DEVICES
  int64_t memory = int64_t(8) << 30; // MEMORY: bytes of each device
  int64_t occupied = 0;              // OCCUPIED: bytes of it that other processes hold
  int architecture = 90;             // ARCHITECTURE: how much shared memory a block may have; below 80 there is no code for it
  int driver = 13000;                // DRIVER: the CUDA version it knows; 0 is no driver
  int64_t fault = 0;                 // FAULT=n: the n-th launch accesses an illegal address
};

Options &options();

}  // namespace castor::emulator
