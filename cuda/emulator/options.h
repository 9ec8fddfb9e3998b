// The settings of the emulator, from environment variables named CASTOR_EMULATOR_ and the name below. They are read once; tests change
// them.
#pragma once
#include <cstdint>

namespace castor::emulator {

// The choice of the next thread among those that can run.
enum class Order {
  forward,      // each in turn
  reverse,
  skew_low,     // always the lowest, so that one warp runs as far ahead as the barriers allow
  skew_high,
  random,       // any of them, at every step
  random_skew,  // by priorities that are drawn for each block; this order finds the most mistakes
};

struct Options {
  Order order = Order::random_skew;  // ORDER: forward, reverse, skew-low, skew-high, random, random-skew
  uint64_t seed = 1;                 // SEED
  bool lazy = false;  // STREAMS=lazy: work waits in its stream until something is waited for, and streams take turns at random
  int devices = 1;                   // DEVICES
  int64_t memory = int64_t(8) << 30; // MEMORY: bytes of each device
  int64_t occupied = 0;              // OCCUPIED: bytes of it that other processes hold
  int architecture = 90;             // ARCHITECTURE: decides the shared memory of a block; below 80 the library has no code for it
  int driver = 13000;                // DRIVER: the CUDA version it knows; 0 is no driver
  bool peers = true;                 // PEERS=0: devices cannot access each other's memory
  int64_t broken = 0;                // BROKEN=n: from the n-th call of the CUDA runtime on, each fails with an unknown error
  bool sleepless = false;            // SLEEPLESS=1: waiting for an event that is not done is an error
  int64_t fault = 0;                 // FAULT=n: the n-th launch accesses an illegal address
};

Options &options();

}  // namespace castor::emulator
