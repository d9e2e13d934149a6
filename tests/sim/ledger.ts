/**
 * Every datagram that was sent, so that each one that arrives is known to be what somebody sent, byte for byte.
 */
import type { Random } from "../../stack/device/random.ts";

/** Where a datagram was sent from and to, as its receiver sees it. */
export interface Flow {
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
}

/** The first byte says what is to be done. */
export const KIND = { plain: 0, request: 1, answer: 2 } as const;

/** The longest UDP payload over IPv4. */
export const MAX_PAYLOAD = 65_507;
const COUNTER_AT = 1;
const SENDER_AT = COUNTER_AT + 4;
const LENGTH_AT = SENDER_AT + 1;
const HEADER_BYTES = LENGTH_AT + 4;

export class Ledger {
  /** Datagrams that arrived as they were sent. */
  arrived = 0;
  /** Those of which checksums could not tell that they had suffered. */
  collisions = 0;
  readonly #sent = new Map<string, Set<number>>();
  readonly #noise = new Uint8Array(2 * MAX_PAYLOAD);
  readonly #payload = new Uint8Array(MAX_PAYLOAD);
  readonly #view = new DataView(this.#payload.buffer);
  #counter = 0;

  constructor(random: Random) {
    const words = new Uint32Array(this.#noise.buffer, 0, NOISE_WORDS);
    for (let i = 0; i < words.length; i++) words[i] = random.next();
    // The rest repeats it at an odd distance: what is cut at a wrong place shows.
    for (let done = NOISE_PERIOD; done < this.#noise.length; done += NOISE_PERIOD)
      this.#noise.copyWithin(done, 0, Math.min(NOISE_PERIOD, this.#noise.length - done));
  }

  /** A new payload, valid until the next: kind, counter, sender, length, and noise that depends on them all. */
  payload(kind: number, sender: number, lengthBytes: number): Uint8Array {
    const bytes = this.#payload.subarray(0, lengthBytes);
    this.#counter += 1;
    const from = (this.#counter * 7919) % MAX_PAYLOAD;
    bytes.set(this.#noise.subarray(from, from + lengthBytes));
    if (lengthBytes >= HEADER_BYTES) {
      this.#view.setUint32(COUNTER_AT, this.#counter);
      this.#view.setUint8(SENDER_AT, sender);
      this.#view.setUint32(LENGTH_AT, lengthBytes);
    }
    if (lengthBytes > 0) bytes[0] = kind;
    return bytes;
  }

  /** Notes what `station` sends. */
  sent(station: number, flow: Flow, bytes: Uint8Array): void {
    const key = keyOf(flow, bytes);
    const stations = this.#sent.get(key);
    if (stations === undefined) this.#sent.set(key, new Set([station]));
    else stations.add(station);
  }

  /** Who may have sent it; undefined where nobody did. */
  sendersOf(flow: Flow, bytes: Uint8Array): ReadonlySet<number> | undefined {
    return this.#sent.get(keyOf(flow, bytes));
  }
}

const NOISE_WORDS = 512;
const NOISE_PERIOD = 2039;

const keyOf = ({ fromPort, to, toPort }: Flow, bytes: Uint8Array): string =>
  `${fromPort}>${to}>${toPort}:${bytes.length}:${Bun.hash.xxHash32(bytes)}`;
