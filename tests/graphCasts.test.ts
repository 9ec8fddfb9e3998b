/** Graphs that are captured in inference mode, where eager code keeps the copies of weights that autocast makes. */
import { expect } from 'bun:test';
import { autocast, graph, inferenceMode, nn, noGrad, ones, type Tensor } from 'castor';
import { devices, tidyTest } from './setup.ts';

for (const device of devices) {
  const cast = (fn: () => Tensor): Tensor => autocast({ dtype: 'bfloat16', device }, fn);
  const forms: [string, (fn: () => Tensor) => graph.CapturedGraph<Tensor>][] = [
    ['autocast inside of the graph', fn => inferenceMode(() => graph.capture(() => cast(fn), { device }))],
    [
      'autocast around the graph',
      fn => inferenceMode(() => autocast({ dtype: 'bfloat16', device }, () => graph.capture(fn, { device }))),
    ],
    ['inference mode inside of the graph', fn => graph.capture(() => inferenceMode(() => cast(fn)), { device })],
  ];
  for (const [name, capture] of forms)
    tidyTest(`replays cast the weights as they are then, with ${name}, on ${device}`, () => {
      const layer = new nn.Linear(64, 64, { device, bias: false });
      const x = ones([1, 64], { device });
      noGrad(() => layer.weight.fill_(1));
      const forward = (): Tensor => layer.forward(x);
      const eager = (): number => inferenceMode(() => cast(forward).amax().itemSync());
      expect(eager()).toBe(64);
      const captured = capture(forward);
      const replay = (): number => captured.replay().amax().itemSync();
      expect(replay()).toBe(64);
      noGrad(() => layer.weight.fill_(2));
      expect(replay()).toBe(128);
      expect(eager()).toBe(128);
      noGrad(() => layer.weight.fill_(3));
      // Calls outside of the graph do not find the copies that the capture made.
      expect([eager(), replay()]).toEqual([192, 192]);
      captured.dispose();
      expect(eager()).toBe(192);
    });
}
