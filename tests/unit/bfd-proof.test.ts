/** BFD's authentication by the letter of RFC 5880 section 6.7: which numbers are taken, for how long they count, whose word they are. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { seededRandom } from "../../stack/device/random.ts";
import { type BfdKey, checkBfdOptions } from "../../stack/bfd/options.ts";
import { Proof } from "../../stack/bfd/proof.ts";
import * as bfd from "../../stack/wire/bfd.ts";
import * as section from "../../stack/wire/bfd-authentication.ts";
import { PEER } from "../support/bfd-bench.ts";

/** Of the very bytes, for they are signed. */
const viewOf = ({ buffer, byteOffset, length }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, length);

const KEY = "open sesame";
const { AUTHENTICATION } = bfd;
/** Three numbers for each of the multiplier's packets (sections 6.7.3 and 6.7.4). */
const WINDOW = 3 * PEER.detectMultiplier;
const DETECT_MS = 30;

const proofOf = (kind: BfdKey["kind"], keyId = 7, key: BfdKey["key"] = KEY): Proof => {
  const { authentication } = checkBfdOptions({
    peer: "10.0.0.1",
    interface: "eth0",
    authentication: { kind, key, keyId },
  });
  return new Proof(authentication!, seededRandom(1));
};

type DigestKind = Exclude<BfdKey["kind"], "password">;
const KINDS: Readonly<Record<DigestKind, { type: number; algorithm: "md5" | "sha1"; bytes: number }>> = {
  md5: { type: AUTHENTICATION.KEYED_MD5, algorithm: "md5", bytes: 16 },
  "meticulous-md5": { type: AUTHENTICATION.METICULOUS_KEYED_MD5, algorithm: "md5", bytes: 16 },
  sha1: { type: AUTHENTICATION.KEYED_SHA1, algorithm: "sha1", bytes: 20 },
  "meticulous-sha1": { type: AUTHENTICATION.METICULOUS_KEYED_SHA1, algorithm: "sha1", bytes: 20 },
};

/** A packet as RFC 5880 section 6.7.3 has it made, from its words alone: the key in the digest's place, then the digest of all. */
const signed = (kind: DigestKind, sequence: number, key = KEY, keyId = 7): Uint8Array => {
  const { type, algorithm, bytes } = KINDS[kind];
  const packet = new Uint8Array(bfd.HEADER_BYTES + section.DIGEST + bytes);
  bfd.emit({ ...PEER, state: bfd.STATE.UP }, viewOf(packet), 0);
  const view = viewOf(packet);
  view.setUint8(bfd.STATE_FLAGS, view.getUint8(bfd.STATE_FLAGS) | bfd.FLAG.AUTHENTICATED);
  view.setUint8(bfd.LENGTH, packet.length);
  const at = bfd.AUTHENTICATION_SECTION;
  view.setUint8(at + section.TYPE, type);
  view.setUint8(at + section.LENGTH, packet.length - at);
  view.setUint8(at + section.KEY_ID, keyId);
  view.setUint32(at + section.SEQUENCE, sequence);
  packet.set(new TextEncoder().encode(key), at + section.DIGEST);
  packet.set(createHash(algorithm).update(packet).digest(), at + section.DIGEST);
  expect(bfd.check(view, 0, packet.length)).toBe(0);
  return packet;
};

/** What a proof that was told `keep` after each packet it took says to packets at their times. */
const judge = (proof: Proof, packet: Uint8Array, nowMs: number): boolean => {
  const taken = proof.judge(viewOf(packet), packet, 0, nowMs);
  if (taken) proof.keep(nowMs, DETECT_MS);
  return taken;
};

for (const kind of Object.keys(KINDS) as DigestKind[]) {
  const least = kind.startsWith("meticulous") ? 1 : 0;

  describe(kind, () => {
    test("is judged by the digest that others make, and by nothing less", () => {
      expect(judge(proofOf(kind), signed(kind, 5), 0)).toBe(true);
      expect(judge(proofOf(kind), signed(kind, 5, "open barley"), 0)).toBe(false);
      expect(judge(proofOf(kind), signed(kind, 5, KEY, 8), 0)).toBe(false);
      for (const other of Object.keys(KINDS) as DigestKind[])
        if (other !== kind) expect(judge(proofOf(kind), signed(other, 5), 0)).toBe(false);
      const packet = signed(kind, 5);
      for (let at = 0; at < packet.length; at++) {
        const changed = packet.slice();
        changed[at]! ^= 1;
        if (bfd.check(viewOf(changed), 0, changed.length) === 0)
          expect(judge(proofOf(kind), changed, 0)).toBe(false);
      }
    });

    test(`takes numbers ${least} to ${WINDOW} ahead of the last, in a circle`, () => {
      for (const last of [100, 0xffff_fffe]) {
        for (const [ahead, taken] of [
          [-1, false],
          [0, least === 0],
          [1, true],
          [WINDOW, true],
          [WINDOW + 1, false],
        ] as const) {
          const proof = proofOf(kind);
          expect(judge(proof, signed(kind, last), 0)).toBe(true);
          expect(judge(proof, signed(kind, (last + ahead) >>> 0), 1)).toBe(taken);
        }
      }
    });

    test("does not move its window for a packet that is not proven", () => {
      const proof = proofOf(kind);
      judge(proof, signed(kind, 100), 0);
      for (let number = 100 + least; number <= 100 + WINDOW; number++)
        expect(judge(proof, signed(kind, number, "open barley"), 1)).toBe(false);
      expect(judge(proof, signed(kind, 101), 2)).toBe(true);
    });

    test("forgets the number after two detection times without a packet, and no earlier (section 6.8.1)", () => {
      const proof = proofOf(kind);
      judge(proof, signed(kind, 100), 0);
      expect(judge(proof, signed(kind, 5), 2 * DETECT_MS - 0.1)).toBe(false);
      expect(judge(proof, signed(kind, 5), 2 * DETECT_MS)).toBe(true);
      // From there it counts again.
      expect(judge(proof, signed(kind, 101), 2 * DETECT_MS)).toBe(false);
    });

    test("is written so that the other end takes every packet", () => {
      const [ours, theirs] = [proofOf(kind), proofOf(kind)];
      for (let nowMs = 0; nowMs < 50; nowMs++) {
        const authentication = ours.next();
        const record = { ...PEER, state: bfd.STATE.UP, authentication };
        const packet = new Uint8Array(bfd.lengthOf(record));
        bfd.emit(record, viewOf(packet), 0);
        ours.sign(packet, 0, packet.length);
        expect(judge(theirs, packet, nowMs)).toBe(true);
      }
    });
  });
}

test("a password is the whole of it, with its length and its number", () => {
  const made = (password: string, keyId: number): Uint8Array => {
    const authentication = {
      kind: AUTHENTICATION.SIMPLE_PASSWORD,
      keyId,
      password: new TextEncoder().encode(password),
    };
    const record = { ...PEER, authentication };
    const packet = new Uint8Array(bfd.lengthOf(record));
    bfd.emit(record, viewOf(packet), 0);
    return packet;
  };
  const proof = proofOf("password");
  expect(judge(proof, made(KEY, 7), 0)).toBe(true);
  for (const [password, keyId] of [
    [KEY, 8],
    ["open sesam", 7],
    ["open sesame!", 7],
    ["open barley", 7],
  ] as const)
    expect(judge(proof, made(password, keyId), 0)).toBe(false);
  expect(judge(proof, signed("md5", 1), 0)).toBe(false);
});
