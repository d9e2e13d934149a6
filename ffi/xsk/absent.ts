/**
 * Rings for a direction that a socket was opened without, or that ended with it: nothing arrives in them, nothing fits.
 */
import { DESC_WORDS } from "../sys/abi.ts";
import { ConsumerRing, ProducerRing, type RingLayout } from "./ring.ts";

/** Where a ring of one descriptor without a mapping has its parts, as 32-bit word indices. */
const PRODUCER = 0;
const CONSUMER = PRODUCER + 1;
const FLAGS = CONSUMER + 1;
const ENTRIES = FLAGS + 1;

const absentLayout = (): RingLayout => ({
  words: new Int32Array(new ArrayBuffer((ENTRIES + DESC_WORDS) * Int32Array.BYTES_PER_ELEMENT)),
  producerAt: PRODUCER,
  consumerAt: CONSUMER,
  flagsAt: FLAGS,
  entriesAt: ENTRIES,
  entryWords: DESC_WORDS,
  size: 1,
});

/** A ring in which nothing ever arrives. */
export const absentConsumer = (): ConsumerRing => new ConsumerRing(absentLayout());

/** A ring that is full for ever: its one entry was submitted, and nobody takes it. */
export const absentProducer = (): ProducerRing => {
  const layout = absentLayout();
  layout.words[PRODUCER] = 1;
  return new ProducerRing(layout);
};
