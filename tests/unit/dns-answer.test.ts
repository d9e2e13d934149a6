/**
 * The name server's answers: what is said to which question, read back by a parser that others wrote.
 */
import { describe, expect, test } from "bun:test";
import { compileZone } from "../../examples/dns/compile.ts";
import { Responder } from "../../examples/dns/responder.ts";
import { Zone } from "../../examples/dns/zone.ts";
import { parseZoneFile } from "../../examples/dns/zone-file.ts";
import { ask, say, UDP_BYTES } from "../support/dns-asking.ts";
import {
  decode,
  FLAG,
  nameBytes,
  opt,
  QTYPE,
  query,
  type QueryOptions,
  u16,
} from "../support/dns-message.ts";
import { fullName, ORIGIN } from "../support/dns-zone.ts";

const PLAIN_BYTES = 512;
const NEGATIVE = [`${ORIGIN} 300 SOA ns1.${ORIGIN} host\\.master.${ORIGIN} 2026010100 7200 900 604800 300`];

describe("the answer", () => {
  test("to a name and type that are there", () => {
    const { packet, ...rest } = ask("many", QTYPE.A);
    expect(rest).toMatchObject({ rcode: "NOERROR", aa: true, authority: [], additional: [] });
    expect(rest.answer).toEqual([30, 31, 32].map((n) => `many.${ORIGIN} 3600 A 192.0.2.${n}`));
    expect(packet).toMatchObject({ id: 0x1234, type: "response", opcode: "QUERY", flag_tc: false });
  });

  test("has the name as it was asked for, and points to it", () => {
    const { answer, length } = ask("MaNy", QTYPE.A);
    expect(answer[0]).toStartWith(`MaNy.${ORIGIN} `);
    expect(length).toBe(12 + nameBytes(fullName("many")).length + 4 + 3 * 16);
  });

  test("to a type that the name has not, and to a name that only leads to others", () => {
    for (const [name, type] of [
      ["many", QTYPE.MX],
      ["ent", QTYPE.A],
      ["c.ent", QTYPE.TXT],
      ["wild", QTYPE.A],
    ] as const)
      expect(ask(name, type)).toMatchObject({ rcode: "NOERROR", aa: true, answer: [], authority: NEGATIVE });
  });

  test("to a name that is not there", () => {
    for (const name of ["nothing", "a.nothing", "z.ent", "x.many", "x.*.wild"])
      expect(ask(name, QTYPE.A)).toMatchObject({
        rcode: "NXDOMAIN",
        aa: true,
        answer: [],
        authority: NEGATIVE,
      });
  });

  test("of a wildcard, and of none where the name or one above it is there (RFC 4592)", () => {
    for (const name of ["a.wild", "a.b.WILD", "*.wild"])
      expect(ask(name, QTYPE.A).answer).toEqual([`${name}.${ORIGIN} 3600 A 192.0.2.40`]);
    expect(ask("a.wild", QTYPE.MX)).toMatchObject({ rcode: "NOERROR", authority: NEGATIVE });
    // deep.wild is there, if without records: what is below it is not below the wildcard.
    expect(ask("deep.wild", QTYPE.A)).toMatchObject({ rcode: "NOERROR", answer: [], authority: NEGATIVE });
    expect(ask("other.deep.wild", QTYPE.A)).toMatchObject({ rcode: "NXDOMAIN" });
    expect(ask("x.has.deep.wild", QTYPE.A)).toMatchObject({ rcode: "NXDOMAIN" });
  });

  test("of a wildcard has its data as it is, even where that names the wildcard", () => {
    expect(ask("a.self", QTYPE.MX).answer).toEqual([`a.self.${ORIGIN} 3600 MX 5 *.self.${ORIGIN}`]);
  });

  test("of aliases, to their end", () => {
    const chain = ["alias2", "alias", "many"];
    const { answer } = ask("ALIAS2", QTYPE.A);
    expect(answer.slice(0, 2)).toEqual([
      `ALIAS2.${ORIGIN} 3600 CNAME ${chain[1]}.${ORIGIN}`,
      `alias.${ORIGIN} 3600 CNAME ${chain[2]}.${ORIGIN}`,
    ]);
    expect(answer).toHaveLength(5);
    expect(ask("alias", QTYPE.MX)).toMatchObject({
      rcode: "NOERROR",
      authority: NEGATIVE,
      answer: [expect.any(String)],
    });
    expect(ask("alias", QTYPE.CNAME).answer).toHaveLength(1);
    expect(ask("out", QTYPE.A)).toMatchObject({
      rcode: "NOERROR",
      authority: [],
      answer: [`out.${ORIGIN} 3600 CNAME www.example`],
    });
  });

  test("of aliases that lead nowhere, in circles, below a wildcard, and to others", () => {
    // RFC 6604: the code is that of the last name.
    expect(ask("dead", QTYPE.A)).toMatchObject({
      rcode: "NXDOMAIN",
      authority: NEGATIVE,
      answer: [expect.any(String)],
    });
    expect(ask("loop1", QTYPE.A)).toMatchObject({ rcode: "NOERROR", answer: { length: 2 } });
    expect(ask("towild", QTYPE.A).answer[1]).toBe(`x.wild.${ORIGIN} 3600 A 192.0.2.40`);
    expect(ask("a.walias", QTYPE.A).answer).toHaveLength(4);
    expect(ask("a.b.walias", QTYPE.A).answer[0]).toBe(`a.b.walias.${ORIGIN} 3600 CNAME many.${ORIGIN}`);
    expect(ask("tochild", QTYPE.A)).toMatchObject({
      rcode: "NOERROR",
      aa: true,
      answer: [expect.any(String)],
      authority: { length: 3 },
    });
  });

  test("below a delegation names those who know, with glue", () => {
    for (const name of ["child", "www.child", "a.b.hidden.child", "hidden.child", "ns.child"]) {
      const { rcode, aa, answer, authority, additional } = ask(name, QTYPE.A);
      expect({ rcode, aa, answer }).toEqual({ rcode: "NOERROR", aa: false, answer: [] });
      // dig shows names in the question's case; these are of the zone's.
      expect(authority.map((each) => each.split(" ").slice(1).join(" "))).toEqual([
        `3600 NS ns.child.${ORIGIN}`,
        `3600 NS ns.sibling.${ORIGIN}`,
        "3600 NS ns.elsewhere.example",
      ]);
      expect(additional).toEqual([
        `ns.child.${ORIGIN} 3600 A 192.0.2.60`,
        `ns.child.${ORIGIN} 3600 AAAA 2001:db8::60`,
        `ns.sibling.${ORIGIN} 3600 A 192.0.2.62`,
      ]);
    }
  });

  test("to DS is the parent's (RFC 4035 section 3.1.4.1)", () => {
    expect(ask("signed", QTYPE.DS)).toMatchObject({ aa: true, answer: { length: 1 } });
    expect(ask("child", QTYPE.DS)).toMatchObject({ aa: true, rcode: "NOERROR", authority: NEGATIVE });
    expect(ask("x.child", QTYPE.DS)).toMatchObject({ aa: false, authority: { length: 3 } });
  });

  test("to ANY is one set (RFC 8482)", () => {
    expect(ask("@", QTYPE.ANY).answer).toEqual([`${ORIGIN} 3600 A 192.0.2.10`]);
    expect(ask("alias", QTYPE.ANY).answer).toEqual([`alias.${ORIGIN} 3600 CNAME many.${ORIGIN}`]);
    expect(ask("nothing", QTYPE.ANY)).toMatchObject({ rcode: "NXDOMAIN" });
  });

  test("adds addresses of what MX, SRV and NS records lead to", () => {
    expect(ask("@", QTYPE.MX).additional).toEqual([`mail.${ORIGIN} 300 A 192.0.2.25`]);
    expect(ask("a.wmx", QTYPE.MX).additional).toEqual([`mail.${ORIGIN} 300 A 192.0.2.25`]);
    expect(ask("_sip._udp", QTYPE.SRV).additional).toHaveLength(4);
    expect(ask("@", QTYPE.NS).additional).toHaveLength(2);
  });

  test("knows nothing of other zones and classes", () => {
    const names = ["example.", "test.", ".", `x${ORIGIN}.`, "a.b.c.d.e.f.g.h.i.j.k.l.m.n."];
    for (const name of names) {
      const packet = decode(say(query(name, QTYPE.A))!);
      expect(packet).toMatchObject({
        rcode: "REFUSED",
        flag_aa: false,
        answers: [],
        authorities: [],
        questions: [{}],
      });
    }
    for (const code of [3, 4, 254, 255, 0])
      expect(ask("many", QTYPE.A, { class: code })).toMatchObject({ rcode: "REFUSED" });
    expect(ask("@", QTYPE.AXFR)).toMatchObject({ rcode: "REFUSED" });
    expect(ask("@", 251)).toMatchObject({ rcode: "REFUSED" });
    expect(ask("@", 253)).toMatchObject({ rcode: "NOTIMP" });
  });

  test("copies RD and no other flag", () => {
    for (const flags of [0, FLAG.rd]) {
      // All that a query may have but QR and an opcode.
      const answer = say(query(fullName("many"), QTYPE.A, { flags: flags | (0x07ff & ~FLAG.rd) }))!;
      expect((answer[2]! << 8) | answer[3]!).toBe(FLAG.qr | FLAG.aa | flags);
    }
  });
});

describe("EDNS", () => {
  const edns = (options: QueryOptions) =>
    ask("many", QTYPE.A, options).packet.additionals.find(({ type }) => type === "OPT");

  test("is answered with its own record, and nothing without it", () => {
    expect(edns({})).toBeUndefined();
    expect(edns({ size: 4096 })).toMatchObject({
      name: ".",
      udpPayloadSize: UDP_BYTES,
      extendedRcode: 0,
      ednsVersion: 0,
      flag_do: false,
    });
    expect(edns({ size: 0, dnssecOk: true })).toMatchObject({ flag_do: true });
    // A cookie and padding, of which this server knows nothing.
    expect(
      edns({ size: 512, options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 12, 0, 2, 0, 0] }),
    ).toBeDefined();
  });

  test("of another version is refused (RFC 6891 section 6.1.3)", () => {
    const { packet, answer } = ask("many", QTYPE.A, { size: 512, version: 1 });
    expect(answer).toEqual([]);
    expect(packet.additionals).toMatchObject([{ type: "OPT", extendedRcode: 1, ednsVersion: 0 }]);
    expect(packet.rcode).toBe("NOERROR");
  });

  test("twice, of another owner than the root, or cut off, is malformed", () => {
    const plain = query(fullName("many"), QTYPE.A);
    const withRecords = (count: number, records: readonly number[]) => {
      const message = Uint8Array.from([...plain, ...records]);
      message[11] = count;
      return decode(say(message)!).rcode;
    };
    expect(withRecords(1, opt({}))).toBe("NOERROR");
    expect(withRecords(2, [...opt({}), ...opt({})])).toBe("FORMERR");
    expect(withRecords(1, [1, 97, ...opt({})])).toBe("FORMERR");
    expect(withRecords(1, [0xc0, 12, ...opt({}).slice(1)])).toBe("FORMERR");
    expect(withRecords(1, opt({ options: [0, 1, 0, 0] }).slice(0, -1))).toBe("FORMERR");
    for (let bytes = 0; bytes < opt({}).length; bytes++)
      expect(withRecords(1, opt({}).slice(0, bytes))).toBe("FORMERR");
    expect(withRecords(2, opt({}))).toBe("FORMERR");
    // Another record, here a TSIG-like one, is gone by.
    const other = [1, 97, 0, ...u16(250), ...u16(255), 0, 0, 0, 0, ...u16(2), 1, 2];
    expect(withRecords(2, [...other, ...opt({})])).toBe("NOERROR");
    expect(withRecords(1, [0xc0, 12, ...other.slice(3)])).toBe("NOERROR");
  });
});

describe("an answer that is too long", () => {
  test("goes out cut, within what the asker takes", () => {
    for (const [name, size, whole] of [
      ["long", undefined, false],
      ["long", 511, false],
      ["long", 600, true],
      ["longer", 600, false],
      ["longer", 1232, true],
      ["longer", 65_535, true],
      ["huge", 65_535, false],
    ] as const) {
      const { packet, answer, length } = ask(name, QTYPE.TXT, size === undefined ? {} : { size });
      expect(packet.flag_tc).toBe(!whole);
      expect(answer.length > 0).toBe(whole);
      expect(length).toBeLessThanOrEqual(Math.min(Math.max(size ?? 0, PLAIN_BYTES), UDP_BYTES));
      expect(packet.additionals).toHaveLength(size === undefined ? 0 : 1);
    }
  });

  test("is exactly as long as allowed, or cut", () => {
    const { length } = ask("long", QTYPE.TXT, { size: 1232 });
    expect(ask("long", QTYPE.TXT, { size: length }).packet.flag_tc).toBe(false);
    expect(ask("long", QTYPE.TXT, { size: length - 1 }).packet.flag_tc).toBe(true);
  });

  test("first loses what can be left out, but never the glue (RFC 9471)", () => {
    const lines = Array.from(
      { length: 24 },
      (_, i) => `@ MX ${i} m${i}\nm${i} A 192.0.2.${i}\nm${i} AAAA 2001:db8::${i}`,
    );
    const wild = lines.map((line) => line.split("\n")[0]!.replace("@", "*.w"));
    const delegation = Array.from({ length: 12 }, (_, i) => `c NS n${i}.c\nn${i}.c AAAA 2001:db8::${i}`);
    const made = new Zone(
      parseZoneFile(["@ 1 SOA . . 1 2 3 4 5\n@ NS .", ...lines, ...wild, ...delegation].join("\n"), "x"),
    );
    const responder = new Responder(compileZone(made));
    const sizes = (name: string, type: number, size: number) => {
      const packet = decode(say(query(name, type, { size }), responder)!);
      return [
        packet.flag_tc,
        packet.answers.length + packet.authorities.length,
        packet.additionals.length - 1,
      ];
    };
    expect(sizes("x.", QTYPE.MX, 1232)).toEqual([false, 24, 0]);
    // Nothing is moved in what is left out, which would be behind the end of the message.
    expect(sizes("a.w.x.", QTYPE.MX, 1232)).toEqual([false, 24, 0]);
    expect(sizes("abc.w.x.", QTYPE.MX, 1232)).toEqual([false, 24, 0]);
    expect(sizes("c.x.", QTYPE.A, 1232)).toEqual([false, 12, 12]);
    expect(sizes("c.x.", QTYPE.A, 512)).toEqual([true, 0, 0]);
  });
});
