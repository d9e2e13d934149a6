/**
 * The options of TCP printed (RFC 9293 section 3.2, RFC 7323, RFC 2018).
 */
import type { Line } from "./line.ts";

const KIND = 0;
const LENGTH = KIND + 1;
const DATA = LENGTH + 1;

const END = 0;
const NO_OPERATION = 1;
const SEGMENT_SIZE = 2;
const SEGMENT_SIZE_BYTES = DATA + 2;
const WINDOW_SCALE = 3;
const WINDOW_SCALE_BYTES = DATA + 1;
const SACK_PERMITTED = 4;
const SACK = 5;
const BLOCK_RIGHT = 4;
const BLOCK_BYTES = BLOCK_RIGHT + 4;
const TIMESTAMPS = 8;
const ECHOED = DATA + 4;
const TIMESTAMPS_BYTES = ECHOED + 4;

/** Prints the options from `at` to `end`. */
export const printTcpOptions = (line: Line, view: DataView, at: number, end: number): void => {
  const texts: string[] = [];
  while (at < end && view.getUint8(at + KIND) !== END) {
    if (view.getUint8(at + KIND) === NO_OPERATION) {
      texts.push("nop");
      at += 1;
      continue;
    }
    const bytes = at + DATA > end ? 0 : view.getUint8(at + LENGTH);
    if (bytes < DATA || at + bytes > end) {
      texts.push("[|option]");
      break;
    }
    texts.push(optionText(view, at, bytes));
    at += bytes;
  }
  if (texts.length > 0) line.add(", options").bracketed(texts);
};

const optionText = (view: DataView, at: number, bytes: number): string => {
  const kind = view.getUint8(at + KIND);
  if (kind === SEGMENT_SIZE && bytes === SEGMENT_SIZE_BYTES) return `mss ${view.getUint16(at + DATA)}`;
  if (kind === WINDOW_SCALE && bytes === WINDOW_SCALE_BYTES) return `wscale ${view.getUint8(at + DATA)}`;
  if (kind === SACK_PERMITTED && bytes === DATA) return "sackOK";
  if (kind === TIMESTAMPS && bytes === TIMESTAMPS_BYTES)
    return `TS val ${view.getUint32(at + DATA)} ecr ${view.getUint32(at + ECHOED)}`;
  if (kind === SACK && (bytes - DATA) % BLOCK_BYTES === 0) return sackText(view, at + DATA, at + bytes);
  return `option ${kind} length ${bytes}`;
};

const sackText = (view: DataView, at: number, end: number): string => {
  let text = "sack";
  for (; at < end; at += BLOCK_BYTES) text += ` ${view.getUint32(at)}:${view.getUint32(at + BLOCK_RIGHT)}`;
  return text;
};
