import { checked, number, options, required } from '../arguments.ts';

function schedule(step: number, options: { peak: number; warmup: number; steps: number; floor?: number }): number {
  const { peak, warmup, steps, floor = 0.1 } = options;
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const progress = Math.min((step - warmup) / Math.max(steps - warmup, 1), 1);
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}

/**
 * The learning rate at a step: it rises linearly over `warmup` steps to its peak, then falls along half a cosine to
 * `floor` (a fraction of the peak) at the last step.
 */
export const cosineWithWarmup = checked(
  'cosineWithWarmup',
  {
    step: number,
    options: required(
      options({ peak: required(number), warmup: required(number), steps: required(number), floor: number }),
    ),
  },
  schedule,
);
