/**
 * BFD printed: control packets, and the length of echoes, whose bytes mean something to their sender alone.
 */
import * as bfd from "../bfd.ts";
import { hex, type Line, nameOf } from "./line.ts";

const DISCRIMINATOR_DIGITS = 8;
const US_PER_MS = 1000;

/** Prints the control packet from `at` to `end`. */
export const printBfd = (line: Line, view: DataView, at: number, end: number): void => {
  line.add(": BFD");
  const record = bfd.parse(view, at, end - at);
  if (record === undefined) {
    line.add(" ").cut("bfd");
    return;
  }
  line.add(` ${nameOf(bfd.STATE, record.state)}`);
  if (record.diagnostic !== bfd.DIAGNOSTIC.NONE) line.add(` (${nameOf(bfd.DIAGNOSTIC, record.diagnostic)})`);
  line.bracketed(flagNames(record));
  line.add(`, from ${hex(record.myDiscriminator, DISCRIMINATOR_DIGITS)}`);
  line.add(` to ${hex(record.yourDiscriminator, DISCRIMINATOR_DIGITS)}`);
  line.add(`, tx ${milliseconds(record.desiredMinTxUs)}, rx ${milliseconds(record.requiredMinRxUs)}`);
  if (record.requiredMinEchoRxUs !== 0) line.add(`, echo ${milliseconds(record.requiredMinEchoRxUs)}`);
  line.add(`, multiplier ${record.detectMultiplier}`);
  const { authentication } = record;
  if (authentication === undefined) return;
  line.add(`, ${nameOf(bfd.AUTHENTICATION, authentication.kind)} key ${authentication.keyId}`);
  if (authentication.kind !== bfd.AUTHENTICATION.SIMPLE_PASSWORD)
    line.add(` sequence ${authentication.sequence}`);
};

/** Prints that this is an echo. */
export const printBfdEcho = (line: Line): void => void line.add(": BFD echo");

const flagNames = (record: bfd.BfdRecord): string[] =>
  (["poll", "final", "independent", "demand"] as const).filter((name) => record[name]);

const milliseconds = (us: number): string => `${us / US_PER_MS} ms`;
