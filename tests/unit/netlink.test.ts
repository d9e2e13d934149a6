/** Netlink messages: what the kernel once sent is read as `ip` read it, and lying lengths end in an error. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ETHTOOL } from "../../ffi/net/ethtool.ts";
import {
  IFLA,
  IFLA_XDP,
  RTM,
  RTNLGRP_LINK,
  encodeLinkQuery,
  movedTo,
  parseLink,
} from "../../ffi/net/link-message.ts";
import {
  ATTRIBUTE_HEADER_BYTES,
  Attributes,
  HEADER_BYTES,
  NLM_F,
  NLMSG,
  concatenate,
  encodeAttribute,
  encodeAttributeText,
  encodeAttributeU32,
  encodeMessage,
  parseAcknowledgement,
  parseMessages,
} from "../../ffi/net/message.ts";
import { CAPABILITIES } from "../../ffi/sys/machine.ts";
import { ERRNO, SystemError } from "../../ffi/sys/errno.ts";
import { ACKNOWLEDGED, BAD_HEADER, MOVED, NEWLINK, NO_SUCH_DEVICE } from "../support/netlink-captures.ts";
import { skipUnless } from "../support/skip.ts";

const only = (datagram: Uint8Array) => {
  const messages = parseMessages(datagram);
  expect(messages).toHaveLength(1);
  return messages[0]!;
};

describe("captured messages", () => {
  test("RTM_NEWLINK reads as `ip -d link` showed it", () => {
    const message = only(NEWLINK);
    expect(message).toMatchObject({ type: RTM.NEWLINK, sequence: 7 });
    expect(parseLink(message)).toEqual({
      index: 102,
      name: "vb",
      mac: Uint8Array.of(2, 0, 0, 0, 0, 0xa2),
      mtu: 1400,
      maxMtu: 65535,
      up: true,
      carrier: true,
      running: true,
      operstate: "up",
      carrierLosses: 1,
      kind: "veth",
      rxQueues: 4,
      txQueues: 4,
      lowerIndex: 101,
      lowerNamespaceId: 0,
      xdp: [],
    });
  });

  test("RTM_DELLINK of a link that moved says where to", () => {
    const message = only(MOVED);
    expect(message.type).toBe(RTM.DELLINK);
    expect(parseLink(message)).toMatchObject({ index: 102, name: "vb", up: false, running: false });
    expect(movedTo(message)).toBe(0);
    expect(movedTo(only(NEWLINK))).toBeUndefined();
  });

  test("acknowledgements: success, an errno, and the kernel's own words", () => {
    expect(parseAcknowledgement(only(ACKNOWLEDGED))).toEqual({ errno: 0, text: "" });
    expect(parseAcknowledgement(only(NO_SUCH_DEVICE))).toEqual({ errno: ERRNO.ENODEV, text: "" });
    expect(only(BAD_HEADER).type).toBe(NLMSG.DONE);
    expect(parseAcknowledgement(only(BAD_HEADER))).toEqual({
      errno: ERRNO.EINVAL,
      text: "Invalid values in header for link dump request",
    });
  });

  test("several messages in one datagram come in order", () => {
    const types = parseMessages(concatenate([NEWLINK, NO_SUCH_DEVICE, MOVED])).map((message) => message.type);
    expect(types).toEqual([RTM.NEWLINK, NLMSG.ERROR, RTM.DELLINK]);
  });

  test("a message of the bridge family does not speak of the link itself", () => {
    const bridge = NEWLINK.slice();
    bridge[HEADER_BYTES] = 7;
    expect(parseLink(only(bridge))).toBeUndefined();
  });

  test("every truncation is an error or a shorter list, never a read beyond the end", () => {
    for (let length = 1; length < NEWLINK.length; length++) {
      expect(() => parseMessages(NEWLINK.slice(0, length))).toThrow(SystemError);
      // The header admits to the shorter length: then it is the last attribute that lies.
      if (length < HEADER_BYTES) continue;
      const honest = NEWLINK.slice(0, length);
      new DataView(honest.buffer).setUint32(0, length, true);
      const message = only(honest);
      try {
        const link = parseLink(message);
        if (link !== undefined) expect(link.index).toBe(102);
      } catch (error) {
        expect(error).toBeInstanceOf(SystemError);
        expect((error as SystemError).code).toBe("EPROTO");
      }
    }
  });

  test("random damage never escapes as anything but EPROTO", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(NEWLINK.length - 1), fc.nat(255)), { maxLength: 8 }), (damage) => {
        const hurt = NEWLINK.slice();
        for (const [at, value] of damage) hurt[at] = value;
        try {
          for (const message of parseMessages(hurt)) {
            parseLink(message);
            movedTo(message);
            parseAcknowledgement(message);
          }
        } catch (error) {
          expect((error as SystemError).code).toBe("EPROTO");
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("encoding", () => {
  test("what is encoded is read back, with padding between attributes", () => {
    const body = concatenate([
      encodeAttributeText(3, "veth0"),
      encodeAttributeU32(4, 0xfedcba98),
      encodeAttribute(1, Uint8Array.of(1, 2, 3)),
    ]);
    const message = only(encodeMessage(RTM.GETLINK, NLM_F.REQUEST | NLM_F.ACK, 0xffffffff, body));
    expect(message).toMatchObject({ type: RTM.GETLINK, flags: 5, sequence: 0xffffffff });
    const attributes = new Attributes(message.body, 0);
    expect(attributes.text(3)).toBe("veth0");
    expect(attributes.u32(4)).toBe(0xfedcba98);
    expect(attributes.i32(4)).toBe(0xfedcba98 | 0);
    expect(attributes.bytes(1)).toEqual(Uint8Array.of(1, 2, 3));
    expect(attributes.u32(1)).toBeUndefined();
    expect(attributes.has(9)).toBe(false);
    expect(body.length % ATTRIBUTE_HEADER_BYTES).toBe(0);
  });

  test("nested attributes, their flag cleared", () => {
    const NLA_F_NESTED = 0x8000;
    const body = encodeAttribute(18 | NLA_F_NESTED, encodeAttributeText(1, "veth"));
    const view = new DataView(body.buffer);
    expect(new Attributes(view, 0).nested(18)?.text(1)).toBe("veth");
  });

  test("a link is asked for by index, by name and by its long name", () => {
    const query = (which: string | number) => new Attributes(new DataView(encodeLinkQuery(which).buffer), 16);
    expect(query("veth0").text(IFLA.IFNAME)).toBe("veth0");
    expect(query("a-name-of-sixteen").text(IFLA.ALT_IFNAME)).toBe("a-name-of-sixteen");
    expect(new DataView(encodeLinkQuery(77).buffer).getInt32(4, true)).toBe(77);
    for (const bad of ["", "a b", "a/b", "a\0b", "x".repeat(128), 0, -1, 1.5, 2 ** 31, Number.NaN]) {
      expect(() => encodeLinkQuery(bad)).toThrow(RangeError);
    }
  });
});

/** Our numbers by the name that the kernel's headers give them. */
const NUMBERS: Record<string, number> = {
  RTM_NEWLINK: RTM.NEWLINK,
  RTM_DELLINK: RTM.DELLINK,
  RTM_GETLINK: RTM.GETLINK,
  RTNLGRP_LINK,
  ...Object.fromEntries(Object.entries(NLMSG).map(([name, value]) => [`NLMSG_${name}`, value])),
  ...Object.fromEntries(Object.entries(NLM_F).map(([name, value]) => [`NLM_F_${name}`, value])),
  ...Object.fromEntries(Object.entries(IFLA).map(([name, value]) => [`IFLA_${name}`, value])),
  ...Object.fromEntries(Object.entries(IFLA_XDP).map(([name, value]) => [`IFLA_XDP_${name}`, value])),
  ...Object.fromEntries(Object.entries(ETHTOOL).map(([name, value]) => [`ETHTOOL_${name}`, value])),
  ...CAPABILITIES,
  "sizeof(struct nlmsghdr)": HEADER_BYTES,
  "sizeof(struct nlattr)": ATTRIBUTE_HEADER_BYTES,
};
test.skipIf(skipUnless(Bun.which("clang") !== null, "needs clang", { couldRun: true }))(
  "our numbers are those of the kernel's headers",
  () => {
    const checks = Object.entries(NUMBERS).map(
      ([name, value]) => `_Static_assert((unsigned)(${name}) == ${value}u, "${name}");`,
    );
    const headers = ["netlink", "rtnetlink", "if_link", "ethtool", "capability"].map(
      (each) => `#include <linux/${each}.h>`,
    );
    const source = [...headers, ...checks, ""].join("\n");
    const compiled = Bun.spawnSync(["clang", "-fsyntax-only", "-x", "c", "-"], {
      stdin: new TextEncoder().encode(source),
    });
    expect(compiled.stderr.toString()).toBe("");
    expect(compiled.exitCode).toBe(0);
  },
);
