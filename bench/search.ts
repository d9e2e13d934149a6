/**
 * The highest rate that something keeps up with: offered more and more until too much is lost, then halved in between.
 */

/** What one trial offered and what came back, in packets a second. */
export interface Trial {
  /** What was really offered: a sender may not reach the rate that was asked for. */
  readonly offered: number;
  readonly answered: number;
}

export interface SearchOptions {
  /** Rate of the first trial. A guess unless `near`. */
  readonly start: number;
  /** True where `start` is what a search found before: then the bounds are looked for close to it. */
  readonly near?: boolean;
  /** A trial passes if less than this part of what was offered is lost: 0.02 is two in a hundred. */
  readonly loss: number;
}

/** From one trial to the next while there is no bound on that side yet, from a guess and from what was found before. */
const STRIDE = 1.4;
const NEAR_STRIDE = 1.1;
/** Bounds that lie this near to each other are one: the machine is noisier. */
const RESOLUTION = 1.05;
/** A sender that is so far below the rate asked of it has reached its own end. */
const FOLLOWS = 0.97;
/** One bad moment of the machine fails a trial: a rate has failed when it fails twice. */
const TRIES = 2;
/** Strides and halvings from a guess that is wrong by three orders of magnitude. */
const MAX_RATES = 40;
/** Below this nothing is measured any more: it does not answer. */
const LEAST_RATE = 1000;

const passes = ({ offered, answered }: Trial, loss: number): boolean => answered > (1 - loss) * offered;

/** The rate's trial that passed, or the last one that failed. */
const tryRate = async (
  rate: number,
  loss: number,
  attempt: (rate: number) => Promise<Trial>,
): Promise<Trial> => {
  let trial = await attempt(rate);
  for (let tries = 1; tries < TRIES && !passes(trial, loss); tries++) trial = await attempt(rate);
  return trial;
};

/**
 * Searches, by trials of `attempt`, the trial with the highest rate that passes; that is within 5 % of the true bound, or is
 * the most that the sender can offer. Throws where nothing passes.
 */
export const highest = async (
  attempt: (rate: number) => Promise<Trial>,
  { start, near = false, loss }: SearchOptions,
): Promise<Trial> => {
  const stride = near ? NEAR_STRIDE : STRIDE;
  let best: Trial | undefined;
  let low = 0;
  let high = Infinity;
  let rate = start;
  for (let rates = 0; rates < MAX_RATES && high / low > RESOLUTION; rates++) {
    const trial = await tryRate(rate, loss, attempt);
    const passed = passes(trial, loss);
    if (passed) {
      if (best === undefined || trial.answered > best.answered) best = trial;
      low = rate;
    } else high = rate;
    // Beyond what the sender has to offer there is nothing to be found.
    if (trial.offered < rate * FOLLOWS) {
      if (passed) break;
      high = Math.min(high, trial.offered);
    }
    if (high < LEAST_RATE) break;
    if (high === Infinity) rate = low * stride;
    else if (low > 0) rate = (low + high) / 2;
    // What an overloaded program answers is a hint, if no more.
    else rate = Math.min(high / stride, Math.max(trial.answered, high / STRIDE ** 2));
  }
  if (best === undefined) throw new Error(`it answers no rate from ${start} packets a second down`);
  return best;
};
