/**
 * Lists of domain names in the encoding of RFC 1035, as DHCP's domain search option has them (RFC 3397).
 */

/** Names of a list at most; resolvers read six or so. */
export const MAX_NAMES = 32;
/** RFC 1035 section 2.3.4. */
const MAX_NAME_BYTES = 255;

/** The upper two bits of a length: 00 a label, 11 a pointer to an earlier place (RFC 1035 section 4.1.4). */
const KIND_MASK = 0xc0;
const POINTER = 0xc0;
const OFFSET_MASK = 0x3f;
const BYTE_VALUES = 256;
const POINTER_BYTES = 2;

interface Name {
  readonly text: string;
  /** Where the next name begins. */
  readonly next: number;
}

/** The names as texts without a dot at the end; what is not well-formed ends the list. */
export const nameList = (data: Uint8Array): string[] => {
  const names: string[] = [];
  for (let at = 0; at < data.length && names.length < MAX_NAMES;) {
    const name = nameAt(data, at);
    if (name === undefined) break;
    if (name.text !== "") names.push(name.text);
    at = name.next;
  }
  return names;
};

const nameAt = (data: Uint8Array, start: number): Name | undefined => {
  const labels: string[] = [];
  let lengthBytes = 0;
  let next = 0;
  // Pointers lead back only, further each time, so that no name goes round in circles.
  let earliest = start;
  for (let at = start; at < data.length;) {
    const length = data[at]!;
    if ((length & KIND_MASK) === POINTER) {
      const to = (length & OFFSET_MASK) * BYTE_VALUES + (data[at + 1] ?? BYTE_VALUES);
      if (at + 1 >= data.length || to >= earliest) return undefined;
      next ||= at + POINTER_BYTES;
      earliest = at = to;
      continue;
    }
    const end = at + 1 + length;
    lengthBytes += 1 + length;
    if ((length & KIND_MASK) !== 0 || end > data.length || lengthBytes > MAX_NAME_BYTES) return undefined;
    if (length === 0) return { text: labels.join("."), next: next || end };
    labels.push(String.fromCharCode(...data.subarray(at + 1, end)));
    at = end;
  }
  return undefined;
};
