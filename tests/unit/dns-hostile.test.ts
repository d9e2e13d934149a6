/**
 * The name server before what is no question: no bytes at all make it throw, write where it must not, or say something that is no
 * message; and whatever the name, its tables say what the zone says.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { hashName, NameTable } from "../../examples/dns/name-table.ts";
import { keyOf, parseName } from "../../examples/dns/names.ts";
import { type Placed, resolve } from "../../examples/dns/resolve.ts";
import { MAX_QUERY_BYTES, Responder } from "../../examples/dns/responder.ts";
import { compiled, POISON, say, UDP_BYTES, zone } from "../support/dns-asking.ts";
import { decode, nameBytes, QTYPE, query } from "../support/dns-message.ts";
import { fullName, NAMES } from "../support/dns-zone.ts";

/** Properties take a second or two, and more on a machine with other things to do. */
const LIMIT_MS = 30_000;

describe("what is no question", () => {
  const plain = query(fullName("many"), QTYPE.A);
  const changed = (change: (message: Uint8Array) => void): Uint8Array | undefined => {
    const message = plain.slice();
    change(message);
    return say(message);
  };
  const code = (answer: Uint8Array | undefined): string => decode(answer!).rcode;

  test("gets no answer where it is one itself, or too short or long for anything", () => {
    expect(changed((message) => void (message[2]! |= 0x80))).toBeUndefined();
    for (let length = 0; length < 12; length++) expect(say(plain.subarray(0, length))).toBeUndefined();
    expect(say(new Uint8Array(MAX_QUERY_BYTES + 1))).toBeUndefined();
    expect(say(new Uint8Array(MAX_QUERY_BYTES))).toBeDefined();
  });

  test("of another opcode is not implemented", () => {
    for (let opcode = 1; opcode < 16; opcode++) {
      const answer = changed((message) => void (message[2]! |= opcode << 3))!;
      expect(code(answer)).toBe("NOTIMP");
      expect(answer).toHaveLength(12);
      expect((answer[2]! >> 3) & 0xf).toBe(opcode);
    }
  });

  test("has no or two questions, or answers in it", () => {
    for (const at of [5, 7, 9]) expect(code(changed((message) => void (message[at]! += 1)))).toBe("FORMERR");
    expect(code(changed((message) => void (message[5] = 0)))).toBe("FORMERR");
  });

  test("has a name that is none", () => {
    for (let length = 12; length < plain.length; length++)
      expect(code(say(plain.subarray(0, length)))).toBe("FORMERR");
    expect(code(changed((message) => void (message[12] = 0xc0)))).toBe("FORMERR");
    expect(code(changed((message) => void (message[12] = 64)))).toBe("FORMERR");
    const long = (labels: number, last: number) =>
      say(query(`${"a.".repeat(labels)}${"b".repeat(last)}.`, QTYPE.A))!;
    expect(code(long(125, 2))).toBe("REFUSED");
    expect(code(long(126, 1))).toBe("REFUSED");
    expect(code(long(126, 2))).toBe("FORMERR");
    expect(code(long(300, 1))).toBe("FORMERR");
  });

  test("has bytes behind it", () => {
    expect(code(say(Uint8Array.from([...plain, 0])))).toBe("FORMERR");
  });
});

/** Names of the zone, of its surroundings, and made of their labels, in any case. */
const name = fc
  .tuple(
    fc.array(fc.constantFrom("a", "*", "wild", "child", "many", "ent", "b", "x", "deep", "alias", "_udp"), {
      maxLength: 4,
    }),
    fc.constantFrom(...NAMES),
    fc.infiniteStream(fc.boolean()),
  )
  .map(([front, back, upper]) =>
    [...[...front, ""].join("."), ...fullName(back)]
      .map((c) => (upper.next().value === true ? c.toUpperCase() : c))
      .join(""),
  )
  .filter((each) => nameBytes(each).length <= 255);
const type = fc.constantFrom(
  ...Object.values(QTYPE).filter((each) => each !== QTYPE.AXFR),
  35,
  13,
  257,
  65_280,
  0,
);

describe("properties", () => {
  test(
    "an answer from the table is what the zone says, whatever the name",
    () => {
      fc.assert(
        fc.property(name, type, (asked, qtype) => {
          const bytes = say(query(asked, qtype, { size: UDP_BYTES }))!;
          const wire = parseName(asked, undefined);
          const outcome = resolve(zone, wire, qtype);
          // The question's own name stands where the zone has a wildcard's.
          const own = (placed: readonly Placed[]): Placed[] =>
            placed.map((each) => (each.asked ? { ...each, set: { ...each.set, owner: wire } } : each));
          const packet = decode(bytes);
          if (packet.flag_tc) return;
          expect(packet.rcode).toBe(outcome.rcode === 0 ? "NOERROR" : "NXDOMAIN");
          expect(packet.flag_aa).toBe(outcome.authoritative);
          const said = [...packet.answers, ...packet.authorities, ...packet.additionals]
            .filter((record) => record.type !== "OPT")
            .map((record) => [keyOf(Uint8Array.from(nameBytes(record.name))), record.ttl]);
          const meant = [
            ...own(outcome.answer),
            ...outcome.authority,
            ...outcome.glue,
            ...outcome.extra,
          ].flatMap(({ set, ttl }) => set.data.map(() => [keyOf(set.owner), ttl]));
          // dns-packet does not tell a dot in a label from one between two.
          if (!asked.includes("\\")) expect(said).toEqual(meant);
          expect(packet.answers).toHaveLength(
            outcome.answer.reduce((sum, { set }) => sum + set.data.length, 0),
          );
        }),
        { numRuns: 3000 },
      );
    },
    LIMIT_MS,
  );

  test(
    "no bytes make it throw, write where it must not, or say what is no message",
    () => {
      const responder = new Responder(compiled);
      const base = fc
        .tuple(name, type, fc.boolean(), fc.boolean())
        .map(([asked, qtype, edns, dnssecOk]) =>
          query(asked, qtype, edns ? { size: 1232, dnssecOk, options: [0, 10, 0, 1, 7] } : {}),
        );
      const change = fc.tuple(fc.nat(), fc.constantFrom("flip", "set", "cut", "grow", "copy"), fc.nat(255));
      const mutated = fc.tuple(base, fc.array(change, { maxLength: 6 })).map(([message, changes]) => {
        let bytes = [...message];
        for (const [where, kind, value] of changes) {
          const at = bytes.length === 0 ? 0 : where % bytes.length;
          if (kind === "flip") bytes[at] = (bytes[at] ?? 0) ^ (1 << (value & 7));
          else if (kind === "set") bytes[at] = value;
          else if (kind === "cut") bytes = bytes.slice(0, at);
          else if (kind === "grow") bytes.splice(at, 0, ...Array<number>(value).fill(value));
          else bytes.push(...bytes.slice(at));
        }
        return Uint8Array.from(bytes.slice(0, 1500));
      });
      fc.assert(
        fc.property(
          fc.oneof({ weight: 4, arbitrary: mutated }, fc.uint8Array({ maxLength: 300 })),
          (message) => {
            const answer = say(message, responder);
            if (answer === undefined) return;
            const packet = decode(answer);
            expect(packet.type).toBe("response");
            expect([...answer.subarray(0, 2)]).toEqual([...message.subarray(0, 2)]);
            expect(answer.length).toBeLessThanOrEqual(UDP_BYTES);
          },
        ),
        { numRuns: 10_000 },
      );
      const { queries, answers, ignored } = responder.statistics();
      expect(Object.values(answers).reduce((sum, count) => sum + count, 0) + ignored).toBe(queries);
    },
    LIMIT_MS,
  );
});

describe("the table of names", () => {
  const label = fc.string({ unit: fc.constantFrom(..."aAbB@`[{\0-1"), minLength: 1, maxLength: 9 });
  const bytesOf = (labels: readonly string[]): Uint8Array =>
    Uint8Array.from([...labels.flatMap((each) => [each.length, ...Buffer.from(each, "latin1")]), 0]);
  const names = fc.array(fc.array(label, { maxLength: 3 }).map(bytesOf), { maxLength: 40 });

  test("finds what it has, in any case, and nothing else", () => {
    fc.assert(
      fc.property(names, names, (inside, others) => {
        const distinct = [...new Map(inside.map((each) => [keyOf(each), each])).values()];
        const table = new NameTable(distinct);
        for (const each of [...distinct, ...others]) {
          const area = new Uint8Array(each.length + 8).fill(POISON);
          area.set(each, 1);
          const view = new DataView(area.buffer);
          const found = table.find(view, 1, each.length, hashName(view, 1, each.length));
          expect(found).toBe(distinct.findIndex((other) => keyOf(other) === keyOf(each)));
        }
      }),
    );
  });
});
