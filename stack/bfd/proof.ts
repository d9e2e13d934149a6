/**
 * Authentication of BFD control packets (RFC 5880 section 6.7): a section that proves whose they are, written and judged.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Random } from "../device/random.ts";
import * as bfd from "../wire/bfd.ts";
import * as section from "../wire/bfd-authentication.ts";
import { AUTHENTICATION } from "../wire/bfd-authentication.ts";
import type { CheckedKey } from "./options.ts";

/** Numbers ahead of the last that are taken, for each packet of a detection time (sections 6.7.3 and 6.7.4). */
const WINDOW_PER_PACKET = 3;
/** The number that came last is forgotten after so many detection times without a packet (section 6.8.1). */
const FORGET_AFTER = 2;
const LONGEST = bfd.HEADER_BYTES + section.DIGEST + section.digestBytes(AUTHENTICATION.KEYED_SHA1);

export class Proof {
  readonly #key: CheckedKey;
  readonly #isPassword: boolean;
  readonly #meticulous: boolean;
  readonly #algorithm: "md5" | "sha1";
  readonly #scratch = new Uint8Array(LONGEST);
  #sendNumber: number;
  #heardNumber = 0;
  #forgetAtMs = -Infinity;

  constructor(key: CheckedKey, random: Random) {
    const { kind } = key;
    this.#key = key;
    this.#isPassword = kind === AUTHENTICATION.SIMPLE_PASSWORD;
    this.#meticulous =
      kind === AUTHENTICATION.METICULOUS_KEYED_MD5 || kind === AUTHENTICATION.METICULOUS_KEYED_SHA1;
    const isSha1 = kind === AUTHENTICATION.KEYED_SHA1 || kind === AUTHENTICATION.METICULOUS_KEYED_SHA1;
    this.#algorithm = isSha1 ? "sha1" : "md5";
    this.#sendNumber = random.next() >>> 0;
  }

  /** The section of the next packet, whose digest is yet to be written by `sign`: the key stands in its place. */
  next(): section.BfdAuthentication {
    const { kind, keyId, key } = this.#key;
    if (kind === AUTHENTICATION.SIMPLE_PASSWORD) return { kind, keyId, password: key };
    // Also where it need not grow with every packet it may.
    this.#sendNumber = (this.#sendNumber + 1) >>> 0;
    return { kind, keyId, sequence: this.#sendNumber, digest: key };
  }

  /** Writes the digest of the packet at `at` that has the section of `next`. */
  sign(bytes: Uint8Array, at: number, length: number): void {
    if (this.#isPassword) return;
    bytes.set(this.#digest(bytes.subarray(at, at + length)), at + DIGEST_AT);
  }

  /** To be called after each packet that was taken: the number that came last counts for so long. */
  keep(nowMs: number, detectMs: number): void {
    this.#forgetAtMs = nowMs + FORGET_AFTER * detectMs;
  }

  /** True where the packet at `at`, which `check` finds right, is the peer's. */
  judge(view: DataView, bytes: Uint8Array, at: number, nowMs: number): boolean {
    const sectionAt = at + bfd.AUTHENTICATION_SECTION;
    const { kind, keyId, key } = this.#key;
    if (section.type(view, sectionAt) !== kind || section.keyId(view, sectionAt) !== keyId) return false;
    const length = bfd.lengthField(view, at);
    if (this.#isPassword) {
      const passwordAt = sectionAt + section.PASSWORD;
      const given = bytes.subarray(passwordAt, at + length);
      return given.length === key.length && timingSafeEqual(given, key);
    }
    const number = section.sequence(view, sectionAt);
    if (nowMs < this.#forgetAtMs && !this.#follows(number, bfd.detectMultiplier(view, at))) return false;
    const packet = this.#scratch.subarray(0, length);
    packet.set(bytes.subarray(at, at + length));
    packet.set(key, DIGEST_AT);
    const digestAt = at + DIGEST_AT;
    if (!timingSafeEqual(this.#digest(packet), bytes.subarray(digestAt, digestAt + key.length))) return false;
    // Sections 6.7.3 and 6.7.4 remember the first number before they look at the digest: anybody's word would do.
    this.#heardNumber = number;
    return true;
  }

  /** In the circle of 32 bits, not before the last one, and not too far behind it. */
  #follows(number: number, multiplier: number): boolean {
    const ahead = (number - this.#heardNumber) >>> 0;
    return ahead >= (this.#meticulous ? 1 : 0) && ahead <= WINDOW_PER_PACKET * multiplier;
  }

  #digest(packet: Uint8Array): Uint8Array {
    return createHash(this.#algorithm).update(packet).digest();
  }
}

const DIGEST_AT = bfd.AUTHENTICATION_SECTION + section.DIGEST;
